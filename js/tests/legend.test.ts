import { describe, expect, it } from "vitest";
import { lstmFrame } from "./fixture";
import { mount, nextFrame } from "./mount";

describe("the heading of the heatmap", () => {
  it.each([420, 700, 1000])(
    "says that it is the change where it is, and moves nothing (%i pixels)",
    async (width) => {
      const { find, root, show } = await mount({ _frame: lstmFrame({ edited: true }) }, { width });
      const lines = () =>
        [".rnnwidget-site-name", ".rnnwidget-legend .rnnwidget-gutter .rnnwidget-muted"].map(find);
      const tops = () =>
        [...root.querySelectorAll(".rnnwidget-lane")].map((lane) => lane.getBoundingClientRect().top);
      const [words, before] = [lines().map(({ textContent }) => textContent), tops()];
      expect(words).toEqual(["hidden state", "64 units"]);
      find(".rnnwidget-readout button[value=change]").click();
      await nextFrame();
      await nextFrame();
      expect(lines().map(({ textContent }) => textContent)).toEqual(["change Δh", "of hidden state"]);
      expect(lines()[0]!.title).toBe("change of the hidden state by the edit, after − before; 64 units");
      expect(tops()).toEqual(before);
      for (const line of lines())
        expect(line.scrollWidth).toBeLessThanOrEqual(find(".rnnwidget-legend .rnnwidget-gutter").clientWidth);
      await show(lstmFrame({}, { version: 2 }));
      expect(lines().map(({ textContent }) => textContent)).toEqual(words);
    },
  );
});
