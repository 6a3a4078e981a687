import { describe, expect, it } from "vitest";
import { lstmFrame } from "./fixture";
import { HEATMAP, mount, point } from "./mount";

const WIDTHS = [560, 700, 1000, 1600];

describe.each(WIDTHS)("at %i pixels", (width) => {
  it("token labels never overlap, wherever the cursor is", async () => {
    const { find, root } = await mount({}, { width });
    const field = find(".rnnwidget-tokens .rnnwidget-field").getBoundingClientRect();
    for (const step of [0, 7, 30, 59]) {
      point(find(HEATMAP), "pointermove", (step + 0.5) / 60);
      const boxes = [...root.querySelectorAll(".rnnwidget-token")].map((label) =>
        label.getBoundingClientRect(),
      );
      boxes.sort((a, b) => a.left - b.left);
      expect(boxes.length).toBeGreaterThan(5);
      expect(boxes.at(-1)!.right).toBeLessThanOrEqual(field.right + 0.5);
      for (let index = 1; index < boxes.length; index++)
        expect(boxes[index]!.left).toBeGreaterThanOrEqual(boxes[index - 1]!.right);
      expect(root.querySelector(".rnnwidget-token.rnnwidget-at-cursor")).not.toBe(null);
    }
  });

  it("all lanes share one field and nothing runs out of the view", async () => {
    const { root } = await mount({ _frame: lstmFrame({ edited: true }), units: [17] }, { width });
    expect(root.scrollWidth).toBeLessThanOrEqual(root.clientWidth);
    const fields = [...root.querySelectorAll<HTMLElement>(".rnnwidget-lane:not([hidden]) .rnnwidget-field")]
      .filter((field) => !field.closest(".rnnwidget-equation"))
      .map((field) => field.getBoundingClientRect());
    expect(new Set(fields.map(({ left }) => left)).size).toBe(1);
    expect(new Set(fields.map((box) => box.right)).size).toBe(1);
    for (const part of root.querySelectorAll<HTMLElement>(
      ".rnnwidget-equation-line, .rnnwidget-legend-line, .rnnwidget-dial",
    ))
      expect(part.getBoundingClientRect().right).toBeLessThanOrEqual(root.getBoundingClientRect().right);
  });

  it("nothing jumps when the cursor moves or an edit arrives", async () => {
    const { find, root, show } = await mount({}, { width });
    const heights = () =>
      [...root.querySelectorAll<HTMLElement>(".rnnwidget-lane, .rnnwidget-bench, .rnnwidget-header")].map(
        (part) => part.getBoundingClientRect().top - root.getBoundingClientRect().top,
      );
    const before = heights();
    for (const step of [0, 25, 59]) {
      point(find(HEATMAP), "pointermove", (step + 0.5) / 60, step / 60);
      expect(heights()).toEqual(before);
    }
    await show(lstmFrame({ edited: true }, { version: 2, truncated: "showing means of 4 steps per column" }));
    expect(heights()).toEqual(before);
  });
});

describe("resizing", () => {
  it("repaints at the new width", async () => {
    const { element, find } = await mount({}, { width: 900 });
    const before = find<HTMLCanvasElement>(HEATMAP).width;
    element.style.width = "1200px";
    await expect.poll(() => find<HTMLCanvasElement>(HEATMAP).width).toBe(before + 300);
  });
});
