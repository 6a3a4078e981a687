import { describe, expect, it } from "vitest";
import { HEATMAP, mount } from "./mount";

/** How far a shadow or an outline reaches beyond the box that it is drawn around. */
function reach(element: HTMLElement): number {
  const { boxShadow, outlineWidth, outlineOffset, outlineStyle } = getComputedStyle(element);
  const ring =
    outlineStyle === "none" ? 0 : Number.parseFloat(outlineWidth) + Number.parseFloat(outlineOffset);
  const spreads = [...boxShadow.matchAll(/0px 0px 0px ([\d.]+)px/g)].map(([, spread]) => Number(spread));
  return Math.max(ring, ...spreads);
}

describe("what is drawn around the heatmap and its cells", () => {
  it.each([480, 1000])(
    "is seen on all four sides, in the first row and in the last (%i pixels)",
    async (width) => {
      const { find } = await mount({}, { width });
      const heatmap = find(HEATMAP);
      heatmap.focus();
      expect(heatmap.matches(":focus-visible")).toBe(true);
      const cell = find(".rnnwidget-cell");
      const above = find(".rnnwidget-legend").getBoundingClientRect().bottom;
      const below = find(".rnnwidget-readout").getBoundingClientRect().top;
      const whole = (element: HTMLElement) => {
        const { top, bottom } = element.getBoundingClientRect();
        expect(reach(element)).toBeGreaterThan(1);
        expect(top - reach(element)).toBeGreaterThanOrEqual(above);
        expect(bottom + reach(element)).toBeLessThanOrEqual(below);
      };
      whole(heatmap);
      for (const name of ["ArrowUp", "ArrowDown"]) {
        for (let row = 0; row < 64; row++)
          heatmap.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
        whole(cell);
      }
    },
  );
});
