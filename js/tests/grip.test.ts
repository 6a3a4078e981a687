import { describe, expect, it } from "vitest";
import { decode } from "../src/decoding";
import type { FilledFrame } from "../src/frame";
import { lstmFrame } from "./fixture";
import { type Mounted, mount, nextFrame } from "./mount";

const HEIGHT = 60;
const PAD = 6;

function laneOf(view: Mounted, step: number, lane = ".rnnwidget-trace-gates") {
  const field = view.find(`${lane} .rnnwidget-field`);
  const box = field.getBoundingClientRect();
  const at = (value: number) => ({
    clientX: box.left + ((step + 0.5) / 60) * Math.floor(box.width),
    clientY: box.top + HEIGHT - PAD - value * (HEIGHT - 2 * PAD),
  });
  const fire = (type: string, value: number) =>
    field.dispatchEvent(
      new PointerEvent(type, { bubbles: true, cancelable: true, pointerId: 1, button: 0, ...at(value) }),
    );
  return { field, fire };
}

const heightAt = (gate: string, step: number) =>
  (decode(lstmFrame()) as FilledFrame).trace.series[gate]!.after[step]!;

/** The step of the brush at which the gate's line is farthest from the other two. */
const alone = (gate: string, others: string[]) => {
  const room = (step: number) =>
    Math.min(...others.map((other) => Math.abs(heightAt(other, step) - heightAt(gate, step))));
  return Array.from({ length: 30 }, (_, index) => 10 + index).reduce((best, step) =>
    room(step) > room(best) ? step : best,
  );
};

const STEP = alone("forget_gate", ["input_gate", "output_gate"]);

describe("a gate's line inside the brush", () => {
  it("can be dragged: the gate is clamped there, for the traced unit", async () => {
    const view = await mount({ steps: [10, 40], scope: { units: "all", layers: "all", steps: "all" } });
    const { field, fire } = laneOf(view, STEP);
    const value = heightAt("forget_gate", STEP);
    fire("pointermove", value);
    expect(field.dataset.grip).toBe("true");
    expect(getComputedStyle(field).cursor).toBe("ns-resize");
    fire("pointerdown", value);
    for (const to of [0.4, 0.25]) {
      fire("pointermove", to);
      await nextFrame();
    }
    expect(view.find(".rnnwidget-trace-gates .rnnwidget-grip").hidden).toBe(false);
    fire("pointerup", 0.25);
    expect(view.find(".rnnwidget-trace-gates .rnnwidget-grip").hidden).toBe(true);
    const [first, last] = view.model.requests() as unknown as {
      gesture: string;
      dials: { forget_gate: { value: number } };
    }[];
    expect(last).toMatchObject({
      layer: "lstm.l0",
      units: [17],
      steps: [10, 40],
      only: ["forget_gate"],
      dials: { forget_gate: { kind: "clamp", value: expect.closeTo(0.25, 1) } },
    });
    expect(first!.gesture).toBe(last!.gesture);
    expect(view.model.get("units")).toEqual([17]);
    expect(view.model.get("scope")).toEqual({ units: "selected", layers: "this", steps: "brushed" });
  });

  it("stops at the gate's own range", async () => {
    const view = await mount({ steps: [10, 40], units: [5, 17] });
    const { fire } = laneOf(view, STEP);
    fire("pointerdown", heightAt("forget_gate", STEP));
    fire("pointermove", 1.8);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ units: [17], dials: { forget_gate: { value: 1 } } });
    expect(view.model.get("units")).toEqual([5, 17]);
  });

  it("is not taken by a click, outside the brush, without one, or far from it", async () => {
    const view = await mount({ steps: [10, 40] });
    const inside = laneOf(view, STEP);
    const value = heightAt("forget_gate", STEP);
    inside.fire("pointerdown", value);
    inside.fire("pointerup", value);
    inside.fire("pointermove", 0.1);
    const outside = laneOf(view, 50);
    outside.fire("pointerdown", heightAt("forget_gate", 50));
    outside.fire("pointermove", 0.1);
    outside.fire("pointerup", 0.1);
    view.model.receive({ steps: null });
    inside.fire("pointerdown", value);
    inside.fire("pointermove", 0.1);
    await nextFrame();
    expect(view.model.requests()).toEqual([]);
  });

  it("is no state's line: the hidden state has no dial in an LSTM", async () => {
    const view = await mount({ steps: [0, 60] });
    const { field } = laneOf(view, STEP, ".rnnwidget-trace-cell");
    for (let y = 0; y < 52; y += 4) {
      const box = field.getBoundingClientRect();
      field.dispatchEvent(
        new PointerEvent("pointermove", {
          bubbles: true,
          clientX: box.left + box.width / 2,
          clientY: box.top + y,
        }),
      );
      expect(field.dataset.grip).toBe("false");
    }
  });
});
