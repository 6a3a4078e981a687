import { describe, expect, it, vi } from "vitest";
import widget from "../src/index";
import { lstmFrame } from "./fixture";
import { FakeModel } from "./model";
import { HEATMAP, mount, point } from "./mount";

describe("the life of a view", () => {
  it("ends with the signal: nothing listens, nothing observes, nothing is left on the page", async () => {
    const disconnected = [ResizeObserver, MutationObserver].map((kind) =>
      vi.spyOn(kind.prototype, "disconnect"),
    );
    const { model, element, controller } = await mount();
    expect(model.listening).toBeGreaterThan(0);
    controller.abort();
    expect(model.listening).toBe(0);
    expect(element.childElementCount).toBe(0);
    for (const spy of disconnected) expect(spy).toHaveBeenCalled();
    const drawn = model.get("_drawn");
    model.show(lstmFrame({}, { version: 99 }));
    expect(model.get("_drawn")).toBe(drawn);
  });

  it("ends with the function that render returns, in hosts without a signal", async () => {
    const element = document.createElement("div");
    document.body.append(element);
    const model = new FakeModel({ _frame: lstmFrame() });
    const stop = widget.render({ model: model.asAnyModel(), el: element });
    await expect.poll(() => element.querySelector<HTMLElement>(".rnnwidget")?.dataset.drawn).toBe("1");
    stop();
    expect([model.listening, element.childElementCount]).toEqual([0, 0]);
    element.remove();
  });

  it("is shared by several views of one model: one selection, each its own cursor", async () => {
    const model = new FakeModel({ _frame: lstmFrame() });
    const first = await mount({}, { model });
    const second = await mount({}, { model });
    point(first.find(HEATMAP), "click", 0.2, 2.5 / 64);
    await expect.poll(() => second.find(".rnnwidget-pinned").textContent).toBe("#17");
    point(first.find(HEATMAP), "pointermove", 0.5 / 60);
    expect(first.find(".rnnwidget-readout-line").textContent).toContain("step 0 ");
    expect(second.find(".rnnwidget-readout-line").textContent).toContain("step 59 ");
    first.controller.abort();
    await second.show(lstmFrame({}, { version: 2 }));
    expect(second.root.dataset.drawn).toBe("2");
  });

  it("does not paint or echo while there is no room, and does once there is", async () => {
    const model = new FakeModel();
    const { element, root, painted } = await mount({}, { model });
    element.style.display = "none";
    model.show(lstmFrame({}, { version: 5 }));
    await new Promise((resolve) => requestAnimationFrame(resolve));
    await new Promise((resolve) => requestAnimationFrame(resolve));
    expect([root.dataset.drawn, model.get("_drawn")]).toEqual([undefined, 0]);
    element.style.display = "";
    await painted(5);
    expect(model.get("_drawn")).toBe(5);
  });

  it("closed, keeps the picture and puts the controls away", async () => {
    const { model, find, root } = await mount();
    model.receive({ _status: { state: "closed", message: "closed: the model is as it was before" } });
    expect(find(".rnnwidget-panel").inert).toBe(true);
    expect(find(".rnnwidget-status").textContent).toBe("closed: the model is as it was before");
    expect(root.querySelector(HEATMAP)).not.toBe(null);
  });
});
