import { describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";
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

describe("the handle of a gate's line", () => {
  const handles = ({ root }: Mounted) => [
    ...root.querySelectorAll<HTMLInputElement>(".rnnwidget-trace-handle:not([hidden])"),
  ];
  const handle = (view: Mounted, gate: string) =>
    handles(view).find((input) => input.getAttribute("aria-label")!.includes(gate))!;
  const mean = (gate: string, [start, stop]: [number, number]) => {
    const inside = Array.from({ length: stop - start }, (_, index) => heightAt(gate, start + index));
    return inside.reduce((sum, value) => sum + value, 0) / inside.length;
  };

  it("is a slider at the line's mean, said with unit and steps; there is one for each gate inside a brush", async () => {
    const view = await mount({ steps: [10, 40] });
    expect(handles(view).map((input) => input.getAttribute("aria-label"))).toEqual(
      ["candidate", "input gate", "forget gate", "output gate"].map(
        (gate) => `line of the ${gate}, unit 17, steps 10 to 39: arrows clamp it`,
      ),
    );
    const forget = handle(view, "forget gate");
    const value = mean("forget_gate", [10, 40]);
    expect([forget.type, forget.min, forget.max]).toEqual(["range", "0", "1"]);
    expect(Number(forget.value)).toBeCloseTo(value, 1);
    expect(forget.getAttribute("aria-valuetext")).toBe(`${Number(forget.value).toFixed(2)} on average`);
    const box = forget.getBoundingClientRect();
    const field = forget.parentElement!.getBoundingClientRect();
    const onLine = HEIGHT - PAD - heightAt("forget_gate", 25) * (HEIGHT - 2 * PAD);
    expect((box.top + box.bottom) / 2 - field.top).toBeCloseTo(onLine, 0);
    expect((box.left + box.right) / 2 - field.left).toBeCloseTo((25.5 / 60) * field.width, 0);
    const others = ["input gate", "output gate"].map((gate) => handle(view, gate).getBoundingClientRect());
    for (const other of others) expect(Math.abs(other.left - box.left)).toBeGreaterThan(box.width);
    view.model.receive({ steps: null });
    await expect.poll(() => handles(view).length).toBe(0);
  });

  it("is moved by keys: one step to undo until the focus goes, spoken as it moves", async () => {
    const view = await mount({ steps: [10, 40], scope: { units: "all", layers: "all", steps: "all" } });
    const forget = handle(view, "forget gate");
    const start = Number(forget.value);
    forget.focus();
    await userEvent.keyboard("{ArrowUp}");
    await nextFrame();
    await userEvent.keyboard("{ArrowUp}");
    await nextFrame();
    expect(forget.getAttribute("aria-valuetext")).toBe(`${(start + 0.02).toFixed(2)} on average`);
    expect(view.find(".rnnwidget-trace-gates .rnnwidget-grip").textContent).toBe(
      `f ${(start + 0.02).toFixed(2)}`,
    );
    await userEvent.keyboard("{Home}");
    await nextFrame();
    forget.blur();
    expect(view.find(".rnnwidget-trace-gates .rnnwidget-grip").hidden).toBe(true);
    forget.focus();
    await userEvent.keyboard("{ArrowRight}");
    await nextFrame();
    const requests = view.model.requests() as unknown as {
      gesture: string;
      dials: { forget_gate: { kind: string; value: number } };
    }[];
    expect(requests.at(-2)).toMatchObject({
      layer: "lstm.l0",
      units: [17],
      steps: [10, 40],
      only: ["forget_gate"],
      dials: { forget_gate: { kind: "clamp", value: 0 } },
    });
    const values = requests.map(({ dials }) => dials.forget_gate.value);
    expect(values[0]).toBeCloseTo(start + 0.01);
    expect(values.at(-1)).toBeCloseTo(0.01);
    expect(new Set(requests.slice(0, -1).map(({ gesture }) => gesture)).size).toBe(1);
    expect(requests.at(-1)!.gesture).not.toBe(requests[0]!.gesture);
    expect(view.model.get("units")).toEqual([17]);
  });

  it("stays where the keys have put it until Python has answered", async () => {
    const view = await mount({ steps: [10, 40] });
    const forget = handle(view, "forget gate");
    const start = Number(forget.value);
    forget.focus();
    await userEvent.keyboard("{End}");
    await view.show(lstmFrame({}, { version: 2 }));
    expect(forget.value).toBe("1");
    await view.show(lstmFrame({}, { version: 3, answers: 9 }));
    expect(Number(forget.value)).toBe(start);
    expect(document.activeElement).toBe(forget);
  });
});

describe("a finger", () => {
  it("takes the nearest line, and the brushed part of the lane does not scroll under it", async () => {
    const view = await mount({ steps: [10, 40] });
    const { field } = laneOf(view, STEP);
    const zone = view.find(".rnnwidget-trace-gates .rnnwidget-grip-zone");
    expect(getComputedStyle(zone).touchAction).toBe("none");
    expect(zone.getBoundingClientRect().width).toBeCloseTo(Math.floor(field.clientWidth) / 2, 0);
    const box = field.getBoundingClientRect();
    const others = ["input_gate", "output_gate"].map((gate) => heightAt(gate, STEP));
    const aside = heightAt("forget_gate", STEP) > Math.max(...others) ? -12 : 12;
    const touch = (type: string, value: number, pointerId = 1) =>
      zone.dispatchEvent(
        new PointerEvent(type, {
          bubbles: true,
          pointerId,
          pointerType: "touch",
          clientX: box.left + ((STEP + 0.5) / 60) * Math.floor(box.width),
          clientY: box.top + HEIGHT - PAD - value * (HEIGHT - 2 * PAD) + (type === "pointerdown" ? aside : 0),
        }),
      );
    touch("pointerdown", heightAt("forget_gate", STEP));
    touch("pointermove", 0.3);
    await nextFrame();
    touch("pointermove", 0.9, 2);
    touch("pointerup", 0.9, 2);
    touch("pointermove", 0.2);
    await nextFrame();
    touch("pointerup", 0.2);
    expect(view.model.requests()).toMatchObject(
      [0.3, 0.2].map((value) => ({ dials: { forget_gate: { value: expect.closeTo(value, 1) } } })),
    );
  });
});
