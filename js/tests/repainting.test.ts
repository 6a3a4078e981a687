import { describe, expect, it, vi } from "vitest";
import { Remembered } from "../src/remembered";
import { lstmFrame } from "./fixture";
import { HEATMAP, mount, nextFrame, point } from "./mount";

describe("what is remembered", () => {
  it("is the same if its numbers are, NaN included, and its objects are", () => {
    const remembered = new Remembered();
    const theme = {};
    const numbers = () => new Float32Array([1, Number.NaN, Number.POSITIVE_INFINITY]);
    expect(remembered.still(numbers(), theme, 3)).toBe(false);
    expect(remembered.still(numbers(), theme, 3)).toBe(true);
    expect(remembered.still(numbers(), {}, 3)).toBe(false);
    expect(remembered.still(numbers().subarray(1), {}, 3)).toBe(false);
    expect(remembered.still(new Float32Array([1, Number.NaN, 5]), theme, 3)).toBe(false);
  });
});

describe("a frame of a drag", () => {
  it("leaves alone what it does not change", async () => {
    const { root, show, find } = await mount();
    await show(lstmFrame({}, { version: 2 }));
    const tick = find(".rnnwidget-tick");
    const cleared = vi.spyOn(CanvasRenderingContext2D.prototype, "clearRect");
    await show(lstmFrame({ edited: true }, { version: 3, edited: [] }));
    const painted = new Set(
      cleared.mock.contexts.map((context) => (context as CanvasRenderingContext2D).canvas),
    );
    cleared.mockRestore();
    expect(painted.has(find<HTMLCanvasElement>(HEATMAP))).toBe(true);
    expect(painted.has(find<HTMLCanvasElement>(".rnnwidget-markers"))).toBe(false);
    expect(painted.has(find<HTMLCanvasElement>(".rnnwidget-outlines"))).toBe(false);
    expect(root.contains(tick)).toBe(true);
  });

  it("asks the page for no size, which would lay it out in the middle of the changes", async () => {
    const { show } = await mount();
    const asked = vi.spyOn(Element.prototype, "clientWidth", "get");
    await show(lstmFrame({}, { version: 2 }));
    expect(asked).not.toHaveBeenCalled();
    asked.mockRestore();
  });

  it("paints everything anew where the width has changed", async () => {
    const { element, find, show } = await mount({ units: [3] });
    const markers = find<HTMLCanvasElement>(".rnnwidget-outlines");
    const before = markers.width;
    element.style.width = "900px";
    await expect.poll(() => markers.width).not.toBe(before);
    await show(lstmFrame({}, { version: 2 }));
    expect(find<HTMLCanvasElement>(HEATMAP).width).toBe(markers.width);
  });
});

describe("the echo of a painted version", () => {
  it("is sent once the browser has shown it", async () => {
    const { model, root } = await mount();
    model.show(lstmFrame({}, { version: 2 }));
    await nextFrame();
    expect(root.dataset.drawn).toBe("2");
    expect(model.messages).toEqual([{ drawn: 1 }]);
    await expect.poll(() => model.messages).toEqual([{ drawn: 1 }, { drawn: 2 }]);
  });

  it("travels with what a person asks for meanwhile, and is not sent again", async () => {
    const { model, root, find } = await mount();
    const sent = model.saved.length;
    model.show(lstmFrame({}, { version: 2 }));
    await nextFrame();
    expect(root.dataset.drawn).toBe("2");
    point(find(HEATMAP), "click", 0.2, 2.5 / 64);
    expect(model.saved.slice(sent)).toEqual([{ units: [17], _drawn: 2 }]);
    for (let frames = 0; frames < 4; frames++) await nextFrame();
    expect(model.saved.length).toBe(sent + 1);
    expect(model.messages).toEqual([{ drawn: 1 }]);
  });

  it("is kept while there is no kernel, and sent once there is one again", async () => {
    const { model, root, element, find } = await mount();
    element.classList.add("jupyter-widgets-disconnected");
    model.announce("comm_live_update");
    await expect.poll(() => find(".rnnwidget-panel").inert).toBe(true);
    model.show(lstmFrame({}, { version: 2 }));
    for (let frames = 0; frames < 4; frames++) await nextFrame();
    expect(root.dataset.drawn).toBe("2");
    expect(model.messages).toEqual([{ drawn: 1 }]);
    element.classList.remove("jupyter-widgets-disconnected");
    model.announce("comm_live_update");
    await expect.poll(() => model.messages).toEqual([{ drawn: 1 }, { drawn: 2 }]);
  });
});
