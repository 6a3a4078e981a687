import { describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";
import type { AnswerSteps } from "../src/answer_lane";
import { floats, lstmFrame } from "./fixture";
import { mount, point } from "./mount";

const STEPS = 60;
const along = (value: (step: number) => number) => Array.from({ length: STEPS }, (_, step) => value(step));
const BEFORE = [along((step) => 60 + step / 10), along(() => -3)];
const AFTER = [along((step) => 61 + step / 10), along((step) => (step < 30 ? -3 : 4))];
const TRUTH = [along(() => 62), along(() => 1)];

const lane = (change: Partial<AnswerSteps> = {}): AnswerSteps => ({
  number: 1,
  reason: "",
  labels: ["output 0", "output 1"],
  picked: 0,
  limits: null,
  steps: STEPS,
  before: floats(BEFORE.flat()),
  after: floats(AFTER.flat()),
  truth: floats(TRUTH.flat()),
  series: true,
  done: true,
  ...change,
});
const show = (change: Partial<AnswerSteps> = {}) =>
  mount({ _frame: lstmFrame({ edited: true }, { answer_number: 1 }), lane: lane(change) });

const LANE = ".rnnwidget-lanes > .rnnwidget-answer-lane";

describe("the answer lane of a layer with other steps than the input", () => {
  it("says so, and does not promise a line", async () => {
    const short = floats(Array.from({ length: 9 }, () => 0.5));
    const { find } = await show({ steps: 9, labels: ["P(yes)"], before: short, after: short, truth: null });
    expect(find(`${LANE} .rnnwidget-lane-reason`).textContent).toBe(
      "the answer goes by the steps of the input: this layer has others",
    );
  });
});

describe("the answer lane of a model that gives NaN", () => {
  const nothing = floats(Array.from({ length: STEPS }, () => Number.NaN));
  const only = { labels: ["answer"], before: nothing, after: nothing, truth: null, series: false };
  const texts = (root: HTMLElement) =>
    [...root.querySelectorAll(`${LANE} .rnnwidget-line-label`)].map((label) => label.textContent);
  const said = (root: HTMLElement) => root.querySelector(`${LANE} canvas`)!.getAttribute("aria-label");

  it("says NaN, as the headline does", async () => {
    const { root } = await show(only);
    expect(texts(root)).toEqual(["before NaN", "after NaN"]);
    expect(said(root)).toContain("at the end NaN before, NaN after");
  });

  it("says so of no step that the run before does not have, and of none that is still to come", async () => {
    const { root } = await show({ ...only, new_steps: [STEPS - 1] });
    expect(texts(root)).toEqual(["before –", "after NaN"]);
    expect(said(root)).toContain("at the end – before, NaN after");
    const growing = await show({ ...only, done: false });
    expect(texts(growing.root)).toEqual(["before …", "after …"]);
  });
});

describe("the answer lane of a model that reads from the end", () => {
  it("is called what it shows: the output at every step", async () => {
    const { find } = await show({ by_step: true });
    const name = find(`${LANE} .rnnwidget-gutter span`);
    expect([name.textContent, name.title]).toEqual([
      "output",
      "what the model gives at this step, having read the whole input",
    ]);
  });
});

describe("the answer lane of a forecast", () => {
  it("has before, after and the truth at the cursor, in the forecast's own units", async () => {
    const { find, root } = await show();
    const texts = () =>
      [...root.querySelectorAll(`${LANE} .rnnwidget-line-label`)].map((label) => label.textContent);
    expect(texts()).toEqual(["truth 62.00", "before 65.90", "after 66.90"]);
    const axis = [...root.querySelectorAll(`${LANE} .rnnwidget-axis-label`)].map(
      (label) => label.textContent,
    );
    expect(axis).toEqual(["66.9", "60"]);
    const canvas = find<HTMLCanvasElement>(`${LANE} canvas`);
    point(canvas, "pointermove", 10.5 / STEPS);
    expect(texts()).toEqual(["truth 62.00", "before 61.00", "after 62.00"]);
    expect(find(".rnnwidget-readout-line").textContent).toContain("step 10");
    expect(canvas.getAttribute("aria-label")).toBe(
      "output 0 after every step; at the end 65.90 before, 66.90 after, 62.00 in truth",
    );
  });

  it("draws each line at the height of its values", async () => {
    const { find } = await show({ before: floats([...along(() => 60), ...BEFORE[1]!]) });
    const canvas = find<HTMLCanvasElement>(`${LANE} canvas`);
    const scale = canvas.height / canvas.getBoundingClientRect().height;
    const inked = (step: number) => {
      const x = Math.floor(((step + 0.5) / STEPS) * canvas.width);
      const { data } = canvas.getContext("2d")!.getImageData(x, 0, 1, canvas.height);
      return Array.from({ length: canvas.height }, (_, y) => y / scale).filter(
        (y) => data[4 * Math.round(y * scale) + 3]! > 40,
      );
    };
    const y = (value: number) => 64 - 7 - ((value - 60) / 6.9) * 50;
    for (const step of [5, 25, 45])
      for (const value of [60, AFTER[0]![step]!])
        expect(
          Math.min(...inked(step).map((at) => Math.abs(at - y(value)))),
          `${step} ${value}`,
        ).toBeLessThan(2);
  });

  it("shows the channel that is chosen, which stays chosen while the lines grow", async () => {
    const { find, root, model } = await show();
    const choice = find<HTMLSelectElement>(`${LANE} select`);
    expect([...choice.options].map(({ text }) => text)).toEqual(["output 0", "output 1"]);
    expect(getComputedStyle(choice.previousElementSibling!).display).toBe("none");
    const bottom = choice.getBoundingClientRect().bottom;
    const [, low] = [...root.querySelectorAll(`${LANE} .rnnwidget-axis-label`)];
    expect(low!.getBoundingClientRect().top).toBeGreaterThanOrEqual(bottom);
    await userEvent.selectOptions(choice, "output 1");
    choice.focus();
    const text = () => find(`${LANE} .rnnwidget-margin`).textContent;
    expect(text()).toContain("before −3.00");
    expect(text()).toContain("truth 1.00");
    model.receive({ lane: lane({ number: 2 }) });
    expect(find<HTMLSelectElement>(`${LANE} select`)).toBe(choice);
    expect(choice.value).toBe("output 1");
    expect(document.activeElement).toBe(choice);
    expect(text()).toContain("after 4.00");
    model.receive({ lane: lane({ labels: ["left", "right"] }) });
    expect(choice.value).toBe("left");
  });

  it("is one choice with the ripple's: either moves both, and Python is told the answer's own name", async () => {
    const names = { labels: ["P(␣)", "P(b)", "P(c)"], names: [" ", "b", "c"], picked: 0, truth: null };
    const values = floats([...along(() => 0.2), ...along(() => 0.3), ...along(() => 0.5)]);
    const ripple = { state: "hidden", states: ["hidden"], limit: 1, steps: STEPS, bands: [], left_out: [] };
    const { root, model } = await mount({
      ripple: "hidden",
      lane: lane({ ...names, limits: [0, 1], series: false, before: values, after: values }),
      _frame: lstmFrame({ edited: true }, { answer_number: 1, ripple: { ...ripple, unmatched: 0 } as never }),
    });
    const menus = [...root.querySelectorAll<HTMLSelectElement>(".rnnwidget-answer-lane select")];
    expect(menus.map(({ value }) => value)).toEqual(["P(␣)", "P(␣)"]);
    await userEvent.selectOptions(menus[0]!, "P(c)");
    expect(menus.map(({ value }) => value)).toEqual(["P(c)", "P(c)"]);
    expect(model.saved).toContainEqual(expect.objectContaining({ told: "c" }));
    await userEvent.selectOptions(menus[1]!, "P(␣)");
    expect(menus.map(({ value }) => value)).toEqual(["P(␣)", "P(␣)"]);
    expect(model.get("told")).toBe(" ");
    model.receive({ told: "b" });
    for (const lane of root.querySelectorAll(".rnnwidget-answer-lane .rnnwidget-margin"))
      expect(lane.textContent).toContain("after 0.30");
  });

  it("has no choice where there is one channel, or one chance says the other", async () => {
    const { find, model } = await show({ labels: ["output"] });
    const choice = find<HTMLSelectElement>(`${LANE} select`);
    expect(choice.hidden).toBe(true);
    expect(find(`${LANE} .rnnwidget-gutter`).textContent).toContain("answer");
    expect(find(`${LANE} .rnnwidget-caption > span`).textContent).toBe("output");
    model.receive({ lane: lane({ labels: ["P(no)", "P(yes)"], limits: [0, 1], picked: 1 }) });
    expect(choice.hidden).toBe(true);
    expect(find(`${LANE} canvas`).getAttribute("aria-label")).toContain("P(yes)");
    model.receive({ lane: lane() });
    expect(choice.hidden).toBe(false);
  });
});
