import { describe, expect, it } from "vitest";
import { lstmFrame } from "./fixture";
import { mount } from "./mount";

const INPUTS = { names: ["input"], data: new DataView(new Float32Array(60).buffer), before: null };
const NOT_FOUND =
  "the channel is computed from the input, or stands there twice: set inspector.inputs instead";

describe.each([450, 700, 800, 1032])("at %i pixels no sentence is cut off", (width) => {
  it("that says what is under way, or is not", async () => {
    const view = await mount({ _frame: lstmFrame({}, { calls: 30 }) }, { width });
    const [header, panel] = [".rnnwidget-header", ".rnnwidget-tools"].map((of) =>
      view.find(`${of} .rnnwidget-activity`),
    );
    const height = view.root.clientHeight;
    const told = [
      "the kernel is gone: a still picture",
      "no answer from the kernel: the last picture",
      "re-running …",
      "before the edits",
    ];
    for (const text of told) {
      header!.textContent = panel!.textContent = text;
      expect(header!.scrollWidth).toBeLessThanOrEqual(header!.clientWidth);
      const range = document.createRange();
      range.selectNodeContents(panel!);
      const [words, room] = [range.getBoundingClientRect(), panel!.getBoundingClientRect()];
      const whole = words.left >= room.left - 0.5 && words.bottom <= room.bottom + 0.5;
      const gone = words.top >= room.bottom - 0.5;
      expect([text, whole || gone]).toEqual([text, true]);
      if (text === "re-running …") expect(whole).toBe(true);
      expect(view.root.clientHeight).toBe(height);
    }
  });

  it("that says why a stimulus cannot be moved", async () => {
    const writing = { words: null, pulses: NOT_FOUND, told: [], changed_steps: [], reads: null };
    const frame = lstmFrame({}, { tokens: null, inputs: INPUTS as never, writing: writing as never });
    const view = await mount({ _frame: frame }, { width });
    const told = view.find(".rnnwidget-stimulus-foot .rnnwidget-clipped");
    expect(told.textContent).toBe(NOT_FOUND);
    expect(told.scrollWidth).toBeLessThanOrEqual(told.clientWidth);
    expect(told.scrollHeight).toBeLessThanOrEqual(told.clientHeight);
  });
});
