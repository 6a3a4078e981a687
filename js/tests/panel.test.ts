import { describe, expect, it, onTestFinished, vi } from "vitest";
import { userEvent } from "vitest/browser";
import type { Dials } from "../src/link";
import { lstmFrame } from "./fixture";
import { type Mounted, mount, nextFrame, point } from "./mount";

const slider = ({ find }: Mounted, name: string) =>
  find<HTMLInputElement>(`input[type=range][aria-label="${name}"]`);
const dial = (view: Mounted, name: string) => slider(view, name).closest<HTMLElement>(".rnnwidget-dial")!;

function drag(input: HTMLInputElement, value: number): void {
  input.value = String(value);
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

describe("a slider", () => {
  it("becomes a request at once and then one a frame, the newest and full set", async () => {
    const view = await mount({ units: [5, 17] });
    drag(slider(view, "input gate shift"), -2);
    drag(slider(view, "forget gate shift"), 1);
    drag(slider(view, "forget gate shift"), 1.5);
    expect(view.model.requests()).toMatchObject([{ serial: 1, dials: { input_gate: { value: -2 } } }]);
    await nextFrame();
    await nextFrame();
    expect(view.model.requests().slice(1)).toEqual([
      {
        serial: 2,
        layer: "lstm.l0",
        units: [5, 17],
        steps: null,
        gesture: expect.any(String),
        dials: { input_gate: { kind: "shift", value: -2 }, forget_gate: { kind: "shift", value: 1.5 } },
        before: [expect.objectContaining({ serial: 1 })],
      },
    ]);
  });

  it("takes nothing from another gesture, nor loses anything to it, until Python has answered", async () => {
    const writing = { words: "", pulses: "no", told: [], changed_steps: [], reads: null };
    const view = await mount({ _frame: lstmFrame({}, { writing: writing as never }) });
    const wishes = () => {
      const request = view.model.get("_request") as { serial: number; before?: { serial: number }[] };
      return [...(request.before ?? []), request].map(({ serial, ...wish }) => [
        serial,
        Object.keys(wish)[0],
      ]);
    };
    drag(slider(view, "forget gate shift"), 1);
    view.find(".rnnwidget-text [data-step='2']").click();
    const box = view.find<HTMLInputElement>(".rnnwidget-word-editor input");
    box.value = "house";
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    drag(slider(view, "forget gate shift"), 1.2);
    drag(slider(view, "forget gate shift"), 1.4);
    await nextFrame();
    await nextFrame();
    expect(wishes()).toEqual([
      [1, "layer"],
      [2, "inputs"],
      [3, "layer"],
    ]);
    expect(view.model.get("_request")).toMatchObject({ dials: { forget_gate: { value: 1.4 } } });
    view.model.receive({ _status: { state: "ready", message: "", answers: 2 } });
    drag(slider(view, "forget gate shift"), 1.6);
    await nextFrame();
    await nextFrame();
    expect(wishes()).toEqual([[4, "layer"]]);
  });

  it("acts on the whole layer when nothing is selected, and on what the scope says", async () => {
    const view = await mount({ scope: { units: "selected", layers: "all" } });
    drag(slider(view, "forget gate shift"), 1);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ layer: null, units: null });
    view.model.receive({ units: [3], scope: { units: "all", layers: "this" } });
    drag(slider(view, "forget gate shift"), 2);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ layer: "lstm.l0", units: null });
  });

  it("acts where it began while a pointer holds it, whatever is selected meanwhile", async () => {
    const view = await mount({ units: [3], dials: { input_gate: { kind: "shift", value: 2 } } });
    const forget = slider(view, "forget gate shift");
    point(forget, "pointerdown", 0.5);
    drag(forget, 1);
    await nextFrame();
    view.model.receive({ units: [5], steps: [10, 20] });
    view.model.receive({ dials: { output_gate: { kind: "shift", value: 3 } } });
    drag(forget, 2);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({
      units: [3],
      steps: null,
      dials: { forget_gate: { kind: "shift", value: 2 } },
      only: ["forget_gate"],
    });
    expect((view.model.requests().at(-1) as { dials: object }).dials).not.toHaveProperty("output_gate");
    point(forget, "pointerup", 0.5);
    point(forget, "pointerdown", 0.5);
    drag(forget, 3);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ units: [5], steps: [10, 20] });
  });

  it("counts on from what Python has answered", async () => {
    const view = await mount({ _frame: lstmFrame({}, { answers: 41 }) });
    drag(slider(view, "forget gate shift"), 1);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ serial: 42 });
  });

  it("leaves out dials of the scope before, until Python has told those of the new one", async () => {
    const view = await mount({ units: [3], dials: { forget_gate: { kind: "shift", value: 2 } } });
    view.model.receive({ units: [5] });
    drag(slider(view, "input gate shift"), 1);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({
      units: [5],
      dials: { input_gate: { kind: "shift", value: 1 } },
    });
    expect(Object.keys((view.model.requests().at(-1) as { dials: object }).dials)).toEqual(["input_gate"]);
  });

  it("moves by key, and its number box moves it", async () => {
    const view = await mount();
    const input = slider(view, "forget gate shift");
    input.focus();
    await userEvent.keyboard("{ArrowRight}{ArrowRight}");
    expect(Number(input.value)).toBeCloseTo(0.2);
    const box = view.find<HTMLInputElement>('input[aria-label="forget gate value"]');
    await userEvent.fill(box, "-3.25");
    await userEvent.keyboard("{Enter}");
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({
      dials: { forget_gate: { kind: "shift", value: -3.25 } },
    });
  });
});

describe("an untouched dial", () => {
  it("is neutral: shift at 0, and back at 0 it is untouched again", async () => {
    const view = await mount();
    expect([
      slider(view, "forget gate shift").value,
      dial(view, "forget gate shift").dataset.touched,
    ]).toEqual(["0", "false"]);
    drag(slider(view, "forget gate shift"), 1);
    expect(dial(view, "forget gate shift").dataset.touched).toBe("true");
    drag(slider(view, "forget gate shift"), 0);
    await nextFrame();
    expect(dial(view, "forget gate shift").dataset.touched).toBe("false");
    expect(view.model.requests().at(-1)).toMatchObject({ dials: {} });
  });

  it("that turns to clamp starts at the gate's mean and applies only once moved", async () => {
    const view = await mount();
    const frame = view.model.get("_frame");
    if (!("trace" in frame)) throw new Error("not filled");
    const after = new Float32Array((frame.trace.series.forget_gate!.after as DataView).buffer);
    const mean = after.reduce((sum, value) => sum + value, 0) / after.length;
    dial(view, "forget gate shift").querySelector<HTMLButtonElement>("button[value=clamp]")!.click();
    await nextFrame();
    expect(Number(slider(view, "forget gate clamp").value)).toBeCloseTo(mean, 1);
    expect(view.model.requests()).toEqual([]);
    drag(slider(view, "forget gate clamp"), 1);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({
      dials: { forget_gate: { kind: "clamp", value: 1 } },
    });
  });

  it("keeps the kind a person chose when Python says that nothing is in force", async () => {
    const view = await mount();
    dial(view, "forget gate shift").querySelector<HTMLButtonElement>("button[value=clamp]")!.click();
    await view.show(lstmFrame({}, { version: 2 }));
    expect(slider(view, "forget gate clamp")).toBeTruthy();
  });
});

describe("another kind", () => {
  const choose = (view: Mounted, from: string, kind: string) =>
    dial(view, from).querySelector<HTMLButtonElement>(`button[value=${kind}]`)!.click();

  it("can be looked at while the edit holds, and takes its place once it is moved", async () => {
    const view = await mount({
      _frame: lstmFrame({ edited: true }),
      dials: { forget_gate: { kind: "shift", value: 4.2 } },
    });
    choose(view, "forget gate shift", "clamp");
    await nextFrame();
    expect(view.model.requests()).toEqual([]);
    expect(dial(view, "forget gate clamp").textContent).toContain("shift +4.2 holds");
    drag(slider(view, "input gate shift"), 1);
    await nextFrame();
    const held: Dials = { forget_gate: { kind: "shift", value: 4.2 } };
    expect(view.model.requests().at(-1)).toMatchObject({ dials: held });
    view.model.receive({ dials: { ...held, input_gate: { kind: "shift", value: 1 } } });
    expect(dial(view, "forget gate clamp").textContent).toContain("shift +4.2 holds");
    drag(slider(view, "forget gate clamp"), 0.9);
    await nextFrame();
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({
      dials: { forget_gate: { kind: "clamp", value: 0.9 } },
    });
  });

  it("gives way to the edit's own when that is chosen again, and can be reset from anywhere", async () => {
    const view = await mount({
      _frame: lstmFrame({ edited: true }),
      dials: { forget_gate: { kind: "shift", value: 4.2 } },
    });
    choose(view, "forget gate shift", "scale");
    choose(view, "forget gate scale", "shift");
    expect(slider(view, "forget gate shift").value).toBe("4.2");
    choose(view, "forget gate shift", "scale");
    const reset = view.find<HTMLButtonElement>('[aria-label="reset forget gate"]');
    expect(reset.ariaDisabled).toBe("false");
    reset.click();
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ dials: {} });
    expect(reset.ariaDisabled).toBe("true");
  });
});

describe("resetting", () => {
  it("one line of the list takes that edit back, wherever it acts", async () => {
    const edits = [
      "forget gate shifted by +1.50 · all units · lstm.l0",
      "candidate scaled by 2.00 · all units",
    ];
    const view = await mount({ _frame: lstmFrame({ edited: true }, { edits }) });
    const items = [...view.find(".rnnwidget-edits").querySelectorAll("li")];
    expect(items.map(({ firstChild }) => firstChild!.textContent)).toEqual(edits);
    view.find<HTMLButtonElement>(`[aria-label="remove: ${edits[1]}"]`).click();
    await nextFrame();
    expect(view.model.requests()).toEqual([{ serial: 1, drop: 1, line: edits[1] }]);
    view.find<HTMLButtonElement>(`[aria-label="remove: ${edits[1]}"]`).focus();
    await view.show(lstmFrame({ edited: true }, { version: 2, edits: edits.slice(0, 1) }));
    expect(document.activeElement!.getAttribute("aria-label")).toBe(`remove: ${edits[0]}`);
    await view.show(lstmFrame({}, { version: 3, edits: [] }));
    expect(document.activeElement!.getAttribute("aria-label")).toBe("undo");
  });

  it("a touched gate takes its edit away, all takes all away", async () => {
    const edited = lstmFrame({ edited: true });
    const view = await mount({ _frame: edited, dials: { forget_gate: { kind: "shift", value: 1.5 } } });
    const reset = view.find<HTMLButtonElement>('[aria-label="reset forget gate"]');
    expect(reset.ariaDisabled).toBe("false");
    reset.click();
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ serial: 1, dials: {} });
    expect(reset.ariaDisabled).toBe("true");
    view.find<HTMLButtonElement>(".rnnwidget-clear").click();
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ serial: 2, clear: true, before: [{ serial: 1 }] });
  });

  it("of edits and of the input each say what they put back", async () => {
    const told = ["“bad” → “good”"];
    const writing = { words: "", pulses: null, told, changed_steps: [2], reads: null } as never;
    const view = await mount({ _frame: lstmFrame({ edited: true }, { writing }) });
    const [edits, input] = [view.find(".rnnwidget-clear"), view.find(".rnnwidget-passage-foot button")];
    expect([edits.textContent, input.textContent]).toEqual(["reset edits", "reset input"]);
    expect(edits.title).toContain("words and pulses that were changed stay");
    expect(input.title).toContain("edits of gates stay");
  });

  it("is off while nothing is edited", async () => {
    const view = await mount();
    expect(view.find<HTMLButtonElement>(".rnnwidget-clear").ariaDisabled).toBe("true");
    expect(view.find(".rnnwidget-edits").textContent).toBe("no edits: the model runs as it is");
  });
});

describe("the only layer of a model", () => {
  it("is the one that is chosen, and not all of them, greyed out", async () => {
    const layers = (lstmFrame() as unknown as { layers: object[] }).layers.slice(0, 1);
    const frame = lstmFrame({}, { layers: layers as never });
    const view = await mount({ _frame: frame, scope: { units: "all", layers: "all", steps: "all" } });
    const chips = [
      ...view.root.querySelectorAll<HTMLButtonElement>(".rnnwidget-scope [aria-checked='true']"),
    ];
    expect(chips.map((chip) => [chip.textContent, chip.disabled])).toEqual([
      ["all 64", false],
      ["all 60", false],
      ["this", false],
    ]);
  });
});

describe("an edit that Python refuses", () => {
  it("leaves the dials as they were: what is in force is what they show", async () => {
    const view = await mount({ dials: { input_gate: { kind: "shift", value: 0.5 } } });
    drag(slider(view, "forget gate shift"), 2);
    await nextFrame();
    expect(dial(view, "forget gate shift").dataset.touched).toBe("true");
    view.model.receive({ _status: { state: "error", message: "ValueError: no", answers: 1 } });
    expect(dial(view, "forget gate shift").dataset.touched).toBe("false");
    expect(slider(view, "forget gate shift").value).toBe("0");
    expect(slider(view, "input gate shift").value).toBe("0.5");
  });

  it("is waited for by a dial that a newer move has not been answered for", async () => {
    const view = await mount();
    drag(slider(view, "forget gate shift"), 2);
    await nextFrame();
    drag(slider(view, "forget gate shift"), 1);
    view.model.receive({ _status: { state: "error", message: "ValueError: no", answers: 1 } });
    expect(slider(view, "forget gate shift").value).toBe("1");
  });
});

describe("dials from Python", () => {
  it("move the sliders, their kind and their boxes", async () => {
    const view = await mount();
    view.model.receive({ dials: { forget_gate: { kind: "clamp", value: 0.9 } } });
    expect(slider(view, "forget gate clamp").value).toBe("0.9");
    expect(view.find<HTMLInputElement>('input[aria-label="forget gate value"]').value).toBe("0.9");
    view.model.receive({ dials: {} });
    expect(dial(view, "forget gate clamp").dataset.touched).toBe("false");
  });

  it("never move a slider that a person holds", async () => {
    const view = await mount();
    const input = slider(view, "forget gate shift");
    point(input, "pointerdown", 0.5);
    drag(input, 2);
    await nextFrame();
    view.model.receive({ dials: { forget_gate: { kind: "shift", value: -4 } } });
    await view.show(lstmFrame({}, { version: 2, answers: 1 }));
    expect(input.value).toBe("2");
    point(input, "pointerup", 0.5);
    expect(input.value).toBe("-4");
  });

  it("do not undo a move that Python has not answered yet", async () => {
    const view = await mount();
    const input = slider(view, "forget gate shift");
    drag(input, 2);
    await nextFrame();
    view.model.receive({ dials: { forget_gate: { kind: "shift", value: 1 } } });
    expect(input.value).toBe("2");
    await view.show(lstmFrame({}, { version: 2, answers: 1 }));
    expect(input.value).toBe("1");
  });
});

describe("the scope", () => {
  it("offers the selection only when there is one", async () => {
    const view = await mount();
    const chips = () => [...view.root.querySelectorAll<HTMLButtonElement>("[aria-label=units] button")];
    expect(
      chips().map((chip) => [chip.textContent, chip.disabled, chip.getAttribute("aria-checked")]),
    ).toEqual([
      ["selected 0", true, "false"],
      ["all 64", false, "true"],
    ]);
    view.model.receive({ units: [1, 2, 3] });
    expect(
      chips().map((chip) => [chip.textContent, chip.disabled, chip.getAttribute("aria-checked")]),
    ).toEqual([
      ["selected 3", false, "true"],
      ["all 64", false, "false"],
    ]);
    chips()[1]!.click();
    expect(view.model.saved.at(-1)).toMatchObject({ scope: { units: "all", layers: "this" } });
  });
});

describe("the steps", () => {
  const steps = ({ root }: Mounted) =>
    [...root.querySelectorAll<HTMLButtonElement>("[aria-label=steps] button")].map((chip) => [
      chip.textContent,
      chip.disabled,
      chip.getAttribute("aria-checked"),
    ]);

  it("are the brushed ones where there are any, unless a person wants all", async () => {
    const view = await mount();
    expect(steps(view)).toEqual([
      ["brushed", true, "false"],
      ["all 60", false, "true"],
    ]);
    view.model.receive({ steps: [3, 9] });
    expect(steps(view)).toEqual([
      ["3–8", false, "true"],
      ["all 60", false, "false"],
    ]);
    view.model.receive({ steps: [5, 6] });
    expect(steps(view)[0]).toEqual(["5", false, "true"]);
    expect(view.find("[aria-label=steps] button").getAttribute("aria-label")).toBe("brushed, step 5");
    view.model.receive({ steps: [3, 9] });
    drag(slider(view, "forget gate shift"), 1);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ steps: [3, 9] });
    view.find<HTMLButtonElement>("[aria-label=steps] button[value=all]").click();
    expect(view.model.saved.at(-1)).toEqual({ scope: { units: "selected", layers: "this", steps: "all" } });
    drag(slider(view, "forget gate shift"), 2);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ steps: null });
  });
});

describe("a scale", () => {
  it("rests at one, goes from nothing to twice as much, and back at one is untouched", async () => {
    const view = await mount();
    const input = slider(view, "candidate scale");
    expect([input.min, input.max, input.value]).toEqual(["0", "2", "1"]);
    drag(input, 0.5);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({
      dials: { candidate: { kind: "scale", value: 0.5 } },
    });
    expect(input.getAttribute("aria-valuetext")).toBe("× 0.50");
    drag(input, 1);
    await nextFrame();
    expect(view.model.requests().at(-1)).toMatchObject({ dials: {} });
    expect(dial(view, "candidate scale").dataset.touched).toBe("false");
  });
});

describe("a kernel that is gone", () => {
  it("leaves a still picture whose controls say so", async () => {
    const view = await mount({ _frame: lstmFrame({ edited: true }) });
    const picture = view.find<HTMLCanvasElement>(".rnnwidget-heatmap canvas").toDataURL();
    view.element.classList.add("jupyter-widgets-disconnected");
    view.model.announce("comm_live_update");
    await expect.poll(() => view.find(".rnnwidget-panel").inert).toBe(true);
    expect(view.find(".rnnwidget-header").inert).toBe(true);
    expect(view.find(".rnnwidget-activity").textContent).toBe("the kernel is gone: a still picture");
    expect(view.find<HTMLCanvasElement>(".rnnwidget-heatmap canvas").toDataURL()).toBe(picture);
    view.element.classList.remove("jupyter-widgets-disconnected");
    view.model.announce("comm_live_update");
    await expect.poll(() => view.find(".rnnwidget-panel").inert).toBe(false);
  });

  it("is told from the start where a saved notebook is opened without one", async () => {
    const view = await mount({ steps: [3, 9] }, { className: "jupyter-widgets-disconnected" });
    expect(view.root.dataset.state).toBe("closed");
    expect([view.find(".rnnwidget-panel").inert, view.find(".rnnwidget-header").inert]).toEqual([true, true]);
    expect(view.find(".rnnwidget-activity").textContent).toBe("the kernel is gone: a still picture");
    expect(view.root.querySelectorAll(".rnnwidget-trace-handle:not([hidden])").length).toBe(0);
    const line = view.find(".rnnwidget-trace-gates .rnnwidget-field");
    for (const y of [0.2, 0.4, 0.6, 0.8]) {
      point(line, "pointerdown", 0.1, y);
      point(line, "pointermove", 0.1, y - 0.2);
      point(line, "pointerup", 0.1, y - 0.2);
    }
    await nextFrame();
    expect(view.model.requests()).toEqual([]);
  });

  it("that is shut down in the midst of a drag leaves picture, dials and edits of one run", async () => {
    const view = await mount();
    const forget = slider(view, "forget gate shift");
    point(forget, "pointerdown", 0.5);
    drag(forget, 1);
    await nextFrame();
    await expect.poll(() => view.root.dataset.busy).toBe("true");
    view.model.widget_manager.kernel = null;
    await expect.poll(() => view.root.dataset.state).toBe("closed");
    expect([view.find(".rnnwidget-panel").inert, view.root.dataset.busy]).toEqual([true, "false"]);
    expect(dial(view, "forget gate shift").dataset.touched).toBe("false");
    drag(forget, 3);
    expect([forget.value, dial(view, "forget gate shift").dataset.touched]).toEqual(["0", "false"]);
    expect(view.find(".rnnwidget-activity").textContent).toBe("the kernel is gone: a still picture");
  });
});

describe("busy", () => {
  it("shows after a while without an answer, and ends with the answer", async () => {
    const view = await mount();
    const height = view.root.clientHeight;
    drag(slider(view, "forget gate shift"), 1);
    await nextFrame();
    expect(view.root.dataset.busy).toBe("false");
    await expect.poll(() => view.root.dataset.busy).toBe("true");
    expect(view.root.clientHeight).toBe(height);
    await view.show(lstmFrame({}, { version: 2, answers: 1 }));
    expect(view.root.dataset.busy).toBe("false");
  });

  it("ends with an error that answers", async () => {
    const view = await mount();
    drag(slider(view, "forget gate shift"), 1);
    await expect.poll(() => view.root.dataset.busy).toBe("true");
    view.model.receive({ _status: { state: "error", message: "no", answers: 1 } });
    expect(view.root.dataset.busy).toBe("false");
  });

  it("tells a long silence in words, an answer to an older request is a sign of life, and the answer clears it", async () => {
    const view = await mount();
    const activity = view.find(".rnnwidget-activity");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    drag(slider(view, "forget gate shift"), 1);
    vi.advanceTimersByTime(9_900);
    expect(activity.textContent).toBe("re-running …");
    view.model.receive({ _request: { serial: 2, clear: true } });
    view.model.receive({ _status: { state: "ready", message: "", answers: 1 } });
    vi.advanceTimersByTime(9_900);
    expect(activity.textContent).toBe("re-running …");
    vi.advanceTimersByTime(200);
    expect(activity.textContent).toBe("no answer from the kernel: the last picture");
    view.model.receive({ _status: { state: "ready", message: "", answers: 2 } });
    expect(activity.textContent).toBe("");
    vi.advanceTimersByTime(20_000);
    expect(activity.textContent).toBe("");
  });
});
