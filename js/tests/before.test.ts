import { describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";
import { beforeOf } from "../src/before";
import { decode } from "../src/decoding";
import type { FilledFrame } from "../src/frame";
import { lstmFrame } from "./fixture";
import { HEATMAP, type Mounted, mount } from "./mount";

const PICTURES = [
  HEATMAP,
  ".rnnwidget-heatmap .rnnwidget-margin canvas",
  ".rnnwidget-trace-cell canvas",
  ".rnnwidget-trace-gates canvas",
  ".rnnwidget-outlines",
];
const WORDS = [".rnnwidget-answer", ".rnnwidget-equation", ".rnnwidget-trace-signed .rnnwidget-margin"];
const seen = ({ find }: Mounted) => [
  ...PICTURES.map((selector) => find<HTMLCanvasElement>(selector).toDataURL()),
  ...WORDS.map((selector) => find(selector).textContent),
];
const held = ({ root }: Mounted) => root.dataset.before;
const press = (target: HTMLElement, type: "keydown" | "keyup", key = " ", init: KeyboardEventInit = {}) => {
  const event = new KeyboardEvent(type, { key, bubbles: true, cancelable: true, ...init });
  target.dispatchEvent(event);
  return event.defaultPrevented;
};

const EDITED = lstmFrame({ edited: true });
const PLAIN = lstmFrame({}, { answer: { ...(EDITED as never as FilledFrame).answer! } as never });

describe("the run before", () => {
  const filled = decode(EDITED as never) as FilledFrame;
  const [one, other] = [Float32Array.of(1, 2, 3), Float32Array.of(4, 5, 6)];

  it("has the forecast, the numbers and the stimuli of the run without edits", () => {
    const series = { channels: 1, steps: 3, before: one, after: other, truth: one };
    const strip = {
      columns: 3,
      count: 3,
      limit: 6,
      before: one,
      after: other,
      mean_change: 3,
      most_change: 3,
    };
    const answer = { ...filled.answer!, series, strip, headline: "P(→)  0.10 → 0.20" };
    const inputs = { names: ["input"], data: other, before: one };
    const before = beforeOf({ ...filled, answer, inputs });
    expect(before.answer!.series!.after).toBe(one);
    expect(before.answer!.strip!.after).toBe(one);
    expect(before.answer!.headline).toBe("P(→)  0.10");
    expect(before.inputs).toEqual({ names: ["input"], data: one, before: null });
  });

  it("has the inputs as they are where no one changed them", () => {
    const inputs = { names: ["input"], data: other, before: null };
    expect(beforeOf({ ...filled, inputs }).inputs!.data).toBe(other);
  });
});

describe("holding the space bar", () => {
  it("shows the unedited run everywhere, with a word for it, and letting go brings the edited one back", async () => {
    const edited = await mount({ _frame: EDITED });
    const after = seen(edited);
    const height = edited.root.clientHeight;
    press(edited.find(HEATMAP), "keydown");
    await expect.poll(() => seen(edited)[0]).not.toBe(after[0]);
    const before = seen(edited);
    for (const [place, picture] of before.entries()) expect(picture, `part ${place}`).not.toBe(after[place]);
    expect(edited.find(".rnnwidget-activity").textContent).toBe("before the edits");
    expect(edited.root.clientHeight).toBe(height);

    const plain = await mount({ _frame: PLAIN });
    expect(before.slice(0, 5)).toEqual(seen(plain).slice(0, 5));
    expect(before[6]).toBe(seen(plain)[6]);

    press(edited.find(HEATMAP), "keyup");
    await expect.poll(() => seen(edited)).toEqual(after);
    expect(edited.find(".rnnwidget-activity").textContent).toBe("");
  });

  it("keeps the gradient after the edit, greyed and told", async () => {
    const view = await mount({ _frame: EDITED });
    const canvas = view.find<HTMLCanvasElement>(".rnnwidget-gradient canvas");
    const caption = () => view.find(".rnnwidget-gradient .rnnwidget-caption").textContent;
    const [picture, told] = [canvas.toDataURL(), caption()];
    press(view.find(HEATMAP), "keydown");
    await expect.poll(caption).toBe(`after the edit only · ${told}`);
    expect(canvas.toDataURL()).toBe(picture);
    expect(getComputedStyle(canvas).opacity).toBe("0.35");
    expect(view.find(".rnnwidget-gradient-message").textContent).toBe("");
    press(view.find(HEATMAP), "keyup");
    await expect.poll(caption).toBe(told);
    expect(getComputedStyle(canvas).opacity).toBe("1");
  });

  it("works on a slider, and not where the space bar presses or writes", async () => {
    const view = await mount({ _frame: EDITED });
    expect(press(view.find("input[type=range]"), "keydown")).toBe(true);
    expect(held(view)).toBe("true");
    press(view.find("input[type=range]"), "keyup");
    for (const selector of [".rnnwidget-clear", "input[type=number]", "[role=radio]", "textarea"]) {
      expect(press(view.find(selector), "keydown"), selector).toBe(false);
      expect(held(view)).toBe("false");
    }
  });

  it.each([
    ["Escape", (view: Mounted) => press(view.find(HEATMAP), "keydown", "Escape")],
    ["the window losing the keyboard", () => window.dispatchEvent(new Event("blur"))],
    ["the focus leaving", (view: Mounted) => view.find(HEATMAP).blur()],
  ])("ends with %s", async (_, end) => {
    const view = await mount({ _frame: EDITED, units: [17] });
    view.find(HEATMAP).focus();
    press(view.find(HEATMAP), "keydown");
    expect(held(view)).toBe("true");
    end(view);
    expect(held(view)).toBe("false");
    expect(view.model.get("units")).toEqual([17]);
  });

  it("stays while the focus moves inside, and new pictures show their own unedited run", async () => {
    const view = await mount({ _frame: EDITED });
    view.find(HEATMAP).focus();
    press(view.find(HEATMAP), "keydown");
    view.find("input[type=range]").focus();
    expect(held(view)).toBe("true");
    await view.show(lstmFrame({ edited: true, site: "cell" }, { version: 2, site: "cell" }));
    const plain = await mount({ _frame: lstmFrame({ site: "cell" }, { site: "cell" }) });
    expect(view.find<HTMLCanvasElement>(HEATMAP).toDataURL()).toBe(seen(plain)[0]);
  });

  it("asks Python for nothing", async () => {
    const view = await mount({ _frame: EDITED });
    view.find(HEATMAP).focus();
    const saved = view.model.saved.length;
    await userEvent.keyboard("{ >3/}");
    expect(held(view)).toBe("false");
    expect(view.model.saved.length).toBe(saved);
  });
});

describe("the unedited run of a frame", () => {
  it.each([false, true])("has the states that each step came from, reverse %s", (reverse) => {
    const edited = decode(lstmFrame({ edited: true }, { reverse })) as FilledFrame;
    const before = beforeOf(edited);
    const cell = before.trace.series.cell!.after;
    const came = before.trace.previous.cell!;
    for (let step = 0; step < 60; step++) {
      const from = reverse ? step + 1 : step - 1;
      expect(came[step]).toBe(from >= 0 && from < 60 ? cell[from] : edited.trace.previous.cell![step]);
    }
    expect(before.answer).toMatchObject({ edited: false, headline: "P(positive)  0.07" });
    expect(before.edited).toEqual([]);
  });

  it("is the frame itself where nothing is edited", () => {
    const plain = decode(lstmFrame()) as FilledFrame;
    expect(beforeOf(plain)).toBe(plain);
  });
});
