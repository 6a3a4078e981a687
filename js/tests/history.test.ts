import { describe, expect, it, vi } from "vitest";
import { userEvent } from "vitest/browser";
import { lstmFrame } from "./fixture";
import { HEATMAP, type Mounted, mount, nextFrame, point } from "./mount";

const slider = ({ find }: Mounted) => find<HTMLInputElement>('input[aria-label="forget gate shift"]');
const button = ({ find }: Mounted, name: string) => find<HTMLButtonElement>(`button[aria-label="${name}"]`);

function drag(input: HTMLInputElement, value: number): void {
  input.value = String(value);
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

const gestures = ({ model }: Mounted) =>
  model.requests().map((request) => ("gesture" in request ? request.gesture : undefined));

describe("undo and redo", () => {
  it("ask for a place on the line", async () => {
    const view = await mount({ _history: { position: 2, length: 4 } });
    button(view, "undo").click();
    await nextFrame();
    expect(view.model.requests().at(-1)).toEqual({ serial: 1, position: 1 });
    await view.show(lstmFrame({}, { version: 2, answers: 1 }));
    button(view, "redo").click();
    await nextFrame();
    expect(view.model.requests().at(-1)).toEqual({ serial: 2, position: 3 });
  });

  it("are keys of the whole widget, but a number box keeps its own", async () => {
    const view = await mount({ _history: { position: 2, length: 4 } });
    const keys = [
      "{Control>}z{/Control}",
      "{Control>}{Shift>}z{/Shift}{/Control}",
      "{Meta>}z{/Meta}",
      "{Control>}y{/Control}",
    ];
    for (const [place, key] of keys.entries()) {
      view.find(place % 2 ? HEATMAP : "input[type=range]").focus();
      await userEvent.keyboard(key);
      await nextFrame();
      expect(view.model.requests().at(-1)).toEqual({ serial: place + 1, position: place % 2 ? 3 : 1 });
      await view.show(lstmFrame({}, { version: place + 2, answers: place + 1 }));
    }
    view.find("input[type=number]").focus();
    await userEvent.keyboard("{Control>}z{/Control}");
    await nextFrame();
    expect(view.model.requests().length).toBe(4);
  });

  it("wait until it is known where we stand, and add up meanwhile", async () => {
    const view = await mount({ _history: { position: 2, length: 3 } });
    drag(slider(view), 2);
    button(view, "undo").click();
    button(view, "undo").click();
    await nextFrame();
    expect(view.model.requests().length).toBe(1);
    view.model.receive({ _history: { position: 3, length: 4 } });
    await view.show(lstmFrame({}, { version: 2, answers: 1 }));
    await nextFrame();
    expect(view.model.requests().at(-1)).toEqual({ serial: 2, position: 1 });
  });

  it("do nothing at the ends of the line, and say so", async () => {
    const view = await mount();
    expect(button(view, "undo").getAttribute("aria-disabled")).toBe("true");
    expect(button(view, "redo").getAttribute("aria-disabled")).toBe("true");
    button(view, "undo").click();
    await nextFrame();
    expect(view.model.requests()).toEqual([]);
    view.model.receive({ _history: { position: 1, length: 2 } });
    expect(button(view, "undo").getAttribute("aria-disabled")).toBe("false");
  });
});

describe("a gesture", () => {
  it("is a whole drag, and each drag another", async () => {
    const view = await mount();
    for (const values of [
      [1, 2],
      [3, 4],
    ]) {
      point(slider(view), "pointerdown", 0.5);
      for (const value of values) {
        drag(slider(view), value);
        await nextFrame();
      }
      point(slider(view), "pointerup", 0.5);
    }
    const [a, b, c, d] = gestures(view);
    expect([a === b, b === c, c === d]).toEqual([true, false, true]);
  });

  it("is a run of keys on one slider, until the focus goes", async () => {
    const view = await mount();
    for (const round of [0, 1]) {
      slider(view).focus();
      await userEvent.keyboard("{ArrowRight}");
      await nextFrame();
      await userEvent.keyboard("{ArrowRight}");
      await nextFrame();
      slider(view).blur();
      expect(new Set(gestures(view)).size).toBe(round + 1);
    }
  });

  it("is another once a pointer takes the slider that keys have moved", async () => {
    const view = await mount();
    slider(view).focus();
    await userEvent.keyboard("{ArrowRight}");
    await nextFrame();
    point(slider(view), "pointerdown", 0.5);
    drag(slider(view), 3);
    await nextFrame();
    expect(new Set(gestures(view)).size).toBe(2);
  });

  it("is each reset", async () => {
    const view = await mount({
      dials: { forget_gate: { kind: "shift", value: 1 } },
      _frame: lstmFrame({ edited: true }),
    });
    drag(slider(view), 2);
    await nextFrame();
    button(view, "reset forget gate").click();
    await nextFrame();
    expect(new Set(gestures(view)).size).toBe(2);
  });
});

describe("the edits as code", () => {
  const copy = ({ root }: Mounted) =>
    [...root.querySelectorAll("button")].find(({ textContent }) => textContent === "copy code")!;

  it("go to the clipboard, and it says so", async () => {
    const write = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
    const view = await mount({ _code: "inspector.edits = [1]" });
    copy(view).click();
    await expect.poll(() => view.find(".rnnwidget-said").textContent).toBe("copied");
    expect(write).toHaveBeenCalledWith("inspector.edits = [1]");
    view.model.receive({ _code: "inspector.edits = []" });
    expect(view.find(".rnnwidget-said").textContent).toBe("");
    write.mockRestore();
  });

  it("are shown selected where the clipboard is out of reach, and nothing jumps", async () => {
    const write = vi.spyOn(navigator.clipboard, "writeText").mockRejectedValue(new Error("denied"));
    const view = await mount({ _code: "inspector.edits = [1]" });
    const height = view.root.clientHeight;
    copy(view).click();
    const text = view.find<HTMLTextAreaElement>("textarea");
    await expect.poll(() => document.activeElement).toBe(text);
    expect(text.value.slice(text.selectionStart, text.selectionEnd)).toBe("inspector.edits = [1]");
    expect(view.root.clientHeight).toBe(height);
    await userEvent.keyboard("{Escape}");
    expect(document.activeElement).toBe(copy(view));
    expect(text.hidden).toBe(true);
    write.mockRestore();
  });
});
