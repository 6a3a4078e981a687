import { describe, expect, it } from "vitest";
import { lstmFrame } from "./fixture";
import { HEATMAP, mount, point } from "./mount";

describe("the readout", () => {
  it("says that a click pins the unit at the cursor, where the lines are of another", async () => {
    const { find, show } = await mount();
    const line = find(".rnnwidget-readout-line");
    const hint = () => getComputedStyle(line, "::after").content;
    expect([hint(), line.title]).toEqual(["none", line.textContent]);
    point(find(HEATMAP), "pointermove", 0.5, 0.01);
    expect(hint()).toBe('" · click pins this unit"');
    expect(line.title).toContain("the lines below are of unit 17: a click in the heatmap pins another");
    await show(lstmFrame({ unit: 3 }, { version: 2 }));
    expect(hint()).toBe("none");
  });
});
