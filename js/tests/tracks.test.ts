import { describe, expect, it } from "vitest";
import type { Track } from "../src/link";
import { spanOf, trackInNumbers } from "../src/track";
import { lstmFrame } from "./fixture";
import { type Mounted, mount, nextFrame, point } from "./mount";

const track = (change: Partial<Track> = {}): Track => ({
  kind: "shift",
  name: "P(positive)",
  limits: [0, 1],
  values: [-6, -3, 0, 3, 6],
  answers: [0.1, 0.2, 0.5, 0.8, 0.9],
  done: true,
  ...change,
});

const dial = ({ root }: Mounted, gate: string) =>
  [...root.querySelectorAll<HTMLElement>(".rnnwidget-dial")].find(({ textContent }) =>
    textContent!.includes(gate),
  )!;
const slider = (view: Mounted, gate: string) =>
  dial(view, gate).querySelector<HTMLInputElement>("input[type=range]")!;
const strip = (view: Mounted, gate: string) =>
  dial(view, gate).querySelector<SVGElement>(".rnnwidget-strip")!;
const line = (view: Mounted, gate: string) =>
  strip(view, gate).querySelector(".rnnwidget-strip-line")!.getAttribute("d")!;
const looks = ({ model }: Mounted) => model.saved.flatMap(({ _track }) => (_track ? [_track] : []));

describe("a slider's track", () => {
  it("shows the answer at every value, where the slider would stand", async () => {
    const view = await mount({ _tracks: { forget_gate: track() } });
    const points = [...line(view, "forget gate").matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    expect(points.map(([x]) => x)).toEqual([0, 0.25, 0.5, 0.75, 1]);
    const heights = points.map(([, y]) => y!);
    expect(heights[0]).toBeCloseTo(100);
    expect(heights[4]).toBeCloseTo(0);
    expect(heights[2]).toBeCloseTo(50);
    expect(dial(view, "forget gate").querySelector(".rnnwidget-words-answers")!.textContent).toBe(
      "P(positive) 0.10 … 0.90",
    );
    const box = strip(view, "forget gate").getBoundingClientRect();
    const thumb = slider(view, "forget gate").getBoundingClientRect();
    expect(box.left).toBeCloseTo(thumb.left + 7, 0);
    expect(box.right).toBeCloseTo(thumb.right - 7, 0);
    expect(line(view, "input gate")).toBe("");
  });

  it("grows as it arrives, and goes with what it was about; nothing jumps", async () => {
    const view = await mount();
    const height = view.root.clientHeight;
    for (const count of [1, 2, 5]) {
      const { values, answers } = track();
      view.model.receive({
        _tracks: {
          forget_gate: track({
            values: values.slice(0, count),
            answers: answers.slice(0, count),
            done: false,
          }),
        },
      });
      expect(strip(view, "forget gate").dataset.points).toBe(String(count));
      expect(view.root.clientHeight).toBe(height);
    }
    view.model.receive({ _tracks: {} });
    expect(line(view, "forget gate")).toBe("");
    expect(view.root.clientHeight).toBe(height);
  });

  it("is another one for another kind of edit", async () => {
    const view = await mount({ _tracks: { forget_gate: track({ kind: "clamp" }) } });
    expect(line(view, "forget gate")).toBe("");
    dial(view, "forget gate").querySelector<HTMLButtonElement>("button[value=clamp]")!.click();
    expect(line(view, "forget gate")).not.toBe("");
    await expect.poll(() => looks(view).at(-1)).toMatchObject({ site: "forget_gate", kind: "clamp" });
  });

  it("has a gap where the answer is not finite", async () => {
    const view = await mount({ _tracks: { forget_gate: track({ answers: [0.1, 0.2, null, 0.8, 0.9] }) } });
    expect(line(view, "forget gate").match(/M/g)?.length).toBe(2);
  });
});

describe("the answers are asked for", () => {
  it("when a pointer or the focus comes to a dial", async () => {
    const view = await mount();
    dial(view, "output gate").dispatchEvent(new PointerEvent("pointerenter"));
    expect(looks(view).at(-1)).toMatchObject({ site: "output_gate", kind: "shift" });
    slider(view, "candidate").focus();
    expect(looks(view).at(-1)).toMatchObject({ site: "candidate", kind: "scale" });
  });

  it("not during a drag, nor before the drag is answered, but after that", async () => {
    const view = await mount();
    const input = slider(view, "forget gate");
    point(input, "pointerdown", 0.5);
    dial(view, "forget gate").dispatchEvent(new PointerEvent("pointerenter"));
    for (const value of [1, 2, 3]) {
      input.value = String(value);
      input.dispatchEvent(new Event("input", { bubbles: true }));
      await nextFrame();
    }
    point(input, "pointerup", 0.5);
    await nextFrame();
    expect(looks(view)).toEqual([]);
    await view.show(lstmFrame({ edited: true }, { version: 2, answers: 3 }));
    expect(looks(view)).toMatchObject([{ site: "forget_gate", kind: "shift" }]);
  });
});

describe("edited dials", () => {
  const edited = {
    dials: {
      input_gate: { kind: "shift", value: 2 },
      forget_gate: { kind: "clamp", value: 0.5 },
    },
  } as const;

  it("get their tracks one after the other, the newest first, whoever edited them", async () => {
    const view = await mount(edited);
    await expect.poll(() => looks(view)).toMatchObject([{ site: "forget_gate", kind: "clamp", idle: true }]);
    const clamp = track({ kind: "clamp" });
    view.model.receive({ _tracks: { forget_gate: { ...clamp, done: false, values: [0], answers: [0.1] } } });
    expect(looks(view).length).toBe(1);
    view.model.receive({ _tracks: { forget_gate: clamp } });
    expect(looks(view).slice(1)).toMatchObject([{ site: "input_gate", kind: "shift", idle: true }]);
    view.model.receive({ _tracks: { input_gate: track(), forget_gate: clamp } });
    await view.show(lstmFrame({ edited: true }, { version: 2 }));
    expect(looks(view).length).toBe(2);
  });

  it("are not asked about again and again where there is no answer", async () => {
    const view = await mount(edited);
    for (let round = 0; round < 5; round++) view.model.receive({ _tracks: {} });
    expect(looks(view).map(({ site }) => site)).toEqual(["forget_gate", "input_gate"]);
  });

  it("wait for the one that somebody looks at", async () => {
    const view = await mount(edited);
    await expect.poll(() => looks(view).length).toBe(1);
    slider(view, "output gate").focus();
    view.model.receive({ _tracks: { output_gate: track({ done: false }) } });
    expect(looks(view)).toMatchObject([
      { site: "forget_gate", idle: true },
      { site: "output_gate", idle: false },
    ]);
    view.model.receive({ _tracks: { output_gate: track() } });
    expect(looks(view).at(-1)).toMatchObject({ site: "input_gate" });
  });
});

describe("a track that was still growing", () => {
  const half = track({ done: false, values: [-6, 0], answers: [0.1, 0.5] });

  it("is gone on with after a newer picture, for which Python gave it up", async () => {
    const view = await mount({ dials: { forget_gate: { kind: "shift", value: 2 } } });
    await expect.poll(() => looks(view).length).toBe(1);
    view.model.receive({ _tracks: { forget_gate: half } });
    expect(looks(view).length).toBe(1);
    await view.show(lstmFrame({ edited: true }, { version: 2 }));
    await expect.poll(() => looks(view).slice(1)).toMatchObject([{ site: "forget_gate", kind: "shift" }]);
  });

  it("is gone on with once, when pictures no longer follow each other", async () => {
    const view = await mount({ dials: { forget_gate: { kind: "shift", value: 2 } } });
    for (const version of [2, 3, 4]) await view.show(lstmFrame({ edited: true }, { version }));
    expect(looks(view)).toEqual([]);
    await expect.poll(() => looks(view).length).toBe(1);
  });

  it("is gone on with after an error", async () => {
    const view = await mount({ dials: { forget_gate: { kind: "shift", value: 2 } } });
    await expect.poll(() => looks(view).length).toBe(1);
    view.model.receive({ _tracks: { forget_gate: half } });
    view.model.receive({ _status: { state: "error", message: "RuntimeError: no" } });
    expect(looks(view).length).toBe(2);
  });

  it("comes back to the dial where somebody is, though nobody edited that", async () => {
    const view = await mount();
    slider(view, "output gate").focus();
    view.model.receive({ _tracks: { output_gate: half } });
    view.model.receive({ _tracks: {} });
    await view.show(lstmFrame({ edited: true }, { version: 2 }));
    await expect.poll(() => looks(view).at(-1)).toMatchObject({ site: "output_gate", idle: false });
    const asked = looks(view).length;
    view.model.receive({ _tracks: { output_gate: track() } });
    await view.show(lstmFrame({ edited: true }, { version: 3 }));
    expect(looks(view).length).toBe(asked);
  });
});

describe("what wider edits do to a dial", () => {
  it("stands beside it as a tick and in words, spoken too, and the dial stays untouched", async () => {
    const inherited = { forget_gate: { shift: { value: 4.8, of: "all units" } } };
    const view = await mount({ inherited, _tracks: { forget_gate: track() } });
    const ghost = dial(view, "forget gate").querySelector<HTMLElement>(".rnnwidget-ghost")!;
    const input = slider(view, "forget gate").getBoundingClientRect();
    const tick = ghost.getBoundingClientRect();
    expect((tick.left + tick.right) / 2).toBeCloseTo(input.left + 7 + 0.9 * (input.width - 14), 0);
    for (const [name, words] of [
      ["answers", "P(positive) 0.10 … 0.90"],
      ["wider", "+4.8 from all units"],
    ]) {
      const place = dial(view, "forget gate").querySelector<HTMLElement>(`.rnnwidget-words-${name}`)!;
      expect([place.textContent, place.hidden]).toEqual([words, false]);
      expect(place.scrollWidth).toBeLessThanOrEqual(place.clientWidth);
    }
    const spoken = () => slider(view, "forget gate").getAttribute("aria-valuetext");
    expect(spoken()).toBe("0, untouched; +4.8 from all units");
    expect(dial(view, "forget gate").dataset.touched).toBe("false");
    expect(dial(view, "input gate").querySelector<HTMLElement>(".rnnwidget-ghost")!.hidden).toBe(true);
    dial(view, "forget gate").querySelector<HTMLButtonElement>("button[value=clamp]")!.click();
    expect(ghost.hidden).toBe(true);
    expect(dial(view, "forget gate").querySelector<HTMLElement>(".rnnwidget-words-wider")!.hidden).toBe(true);
    view.model.receive({ inherited: {} });
    dial(view, "forget gate").querySelector<HTMLButtonElement>("button[value=shift]")!.click();
    expect(ghost.hidden).toBe(true);
    expect(spoken()).not.toContain("from");
  });
});

describe("the height of the tracks", () => {
  it("is one scale for all, and noise stays flat", () => {
    expect(spanOf([track(), track({ answers: [0, 0.2, 0.3, 0.3, 0.95] })])).toEqual([0, 0.95]);
    expect(spanOf([track({ answers: [0.5, 0.5, 0.502, 0.5, 0.5] })])).toEqual([
      expect.closeTo(0.451),
      expect.closeTo(0.551),
    ]);
    const [low, high] = spanOf([track({ answers: [3, 3, 3, 3, 3], limits: null })]);
    expect(low! < 3 && high! > 3).toBe(true);
    expect(spanOf([])).toEqual([0, 1]);
  });

  it("is told in numbers", () => {
    expect(trackInNumbers(track({ answers: [0.5, null, 0.5, 0.5, 0.5] }))).toBe("0.50");
    expect(trackInNumbers(track({ answers: [null, null, null, null, null] }))).toBe("");
  });

  it("keeps its numbers where the name of the answer is too long, and has all of it as a title", async () => {
    const name = "P(rain in the evening and snow)";
    const view = await mount({ _tracks: { forget_gate: track({ name }) } });
    const words = dial(view, "forget gate").querySelector<HTMLElement>(".rnnwidget-words-answers")!;
    expect([words.textContent, words.title]).toEqual(Array(2).fill(`${name} 0.10 … 0.90`));
    const [gone, kept] = [...words.children].map((part) => part.getBoundingClientRect());
    const seen = words.getBoundingClientRect();
    expect(gone!.bottom).toBeLessThanOrEqual(seen.top + 0.5);
    for (const side of ["left", "top"] as const) expect(kept![side]).toBeGreaterThanOrEqual(seen[side] - 0.5);
    for (const side of ["right", "bottom"] as const)
      expect(kept![side]).toBeLessThanOrEqual(seen[side] + 0.5);
    expect(words.lastElementChild!.textContent).toBe("0.10 … 0.90");
  });
});
