import { describe, expect, it } from "vitest";
import type { Answer, Wire } from "../src/frame";
import { floats, lstmFrame } from "./fixture";
import { HEATMAP, mount } from "./mount";

const answerOf = (answer: object) => ({
  answer: { ...(lstmFrame() as { answer: Wire<Answer> }).answer, ...answer } as never,
});
const framed = (answer: object) => lstmFrame({}, answerOf(answer));

const forecast = (steps: number, channels = 2) => {
  const line = floats(Array.from({ length: steps * channels }, (_, at) => Math.sin(at)));
  return { series: { channels, steps, before: line, after: line, truth: line } };
};

describe("a forecast", () => {
  it.each([
    [1, ["0"]],
    [12, ["0", "2", "4", "6", "8", "10"]],
    [80, ["0", "20", "40", "60"]],
  ])("of %i steps has them along its foot, under its points", async (steps, labels) => {
    const { find, root } = await mount({ _frame: framed(forecast(steps)) });
    const ticks = [...root.querySelectorAll<HTMLElement>(".rnnwidget-series-ticks span")];
    expect(ticks.map((tick) => tick.textContent)).toEqual(labels);
    const plot = find(".rnnwidget-series-plot svg").getBoundingClientRect();
    for (const tick of ticks) {
      const box = tick.getBoundingClientRect();
      const share = steps > 1 ? Number(tick.textContent) / (steps - 1) : 0;
      expect((box.left + box.right) / 2).toBeCloseTo(plot.left + share * plot.width, 0);
      expect(box.right).toBeLessThanOrEqual(root.getBoundingClientRect().right);
    }
    const [low, name] = [...root.querySelectorAll(".rnnwidget-series .rnnwidget-axis-label")].slice(-2);
    expect(name!.textContent).toBe("step");
    expect(name!.getBoundingClientRect().top).toBeGreaterThanOrEqual(low!.getBoundingClientRect().bottom);
  });
});

describe("bars", () => {
  const named = (labels: string[]) => ({
    labels,
    before: floats(labels.map(() => 1)),
    after: floats(labels.map(() => 2)),
    picked: 0,
  });

  it("of many numbers are those of the largest, whatever their sign, and the one that is told of", async () => {
    const values = floats(Array.from({ length: 14 }, (_, at) => 4 - at));
    const labels = Array.from({ length: 14 }, (_, at) => `output ${at}`);
    const answer = { labels, before: values, after: values, range: null, picked: 4 };
    const { root } = await mount({ _frame: framed(answer) });
    const names = [...root.querySelectorAll(".rnnwidget-bar-name")].map(({ textContent }) => textContent);
    expect(names).toHaveLength(12);
    expect(names.slice(0, 3)).toEqual(["output 4", "output 13", "output 12"]);
  });

  it("keep the digits of large numbers", async () => {
    const values = floats([999.994, -12345, 123456.4, 12345678]);
    const answer = { labels: ["a", "b", "c", "d"], before: values, after: values, range: null };
    const { root } = await mount({ _frame: framed(answer) });
    expect([...root.querySelectorAll(".rnnwidget-bar-value")].map((value) => value.textContent)).toEqual([
      "999.99",
      "−12,345",
      "123,456",
      "1.235e+7",
    ]);
  });

  it("of small numbers tell them apart, and fit", async () => {
    const [before, after] = [floats([-0.0452, 0.0418]), floats([-0.0146, 0.0451])];
    const answer = { labels: ["a", "b"], before, after, range: null, picked: 1, edited: true };
    const { root } = await mount({ _frame: framed(answer) });
    const values = [...root.querySelectorAll<HTMLElement>(".rnnwidget-bar-value")];
    expect(values.map((value) => value.textContent)).toEqual(["−0.045 → −0.015", "0.042 → 0.045"]);
    for (const value of values) expect(value.scrollWidth).toBeLessThanOrEqual(value.clientWidth);
  });

  it("begin and end at the same places, the one that is told of too: a larger number is a longer bar", async () => {
    const labels = ["length of answer", "entropy", "rain in the evening"];
    const values = floats([0.2, 0.5, 0.6]);
    const answer = { labels, before: values, after: values, range: [0, 1], picked: 2 };
    const { root } = await mount({ _frame: framed(answer) });
    const boxes = (part: string) =>
      [...root.querySelectorAll(`.rnnwidget-bar-${part}`)].map((bar) => bar.getBoundingClientRect());
    expect(new Set(boxes("track").map(({ left, right }) => `${left} ${right}`)).size).toBe(1);
    const [one, two, three] = boxes("after").map(({ width }) => width);
    expect(one! < two! && two! < three!).toBe(true);
    expect(getComputedStyle(root.querySelector(".rnnwidget-picked > span")!).fontWeight).toBe("600");
  });

  it("give long names room, and keep it", async () => {
    const { root, show } = await mount({ _frame: framed(named(["entropy (nats)", "length of answer"])) });
    const names = () => [...root.querySelectorAll<HTMLElement>(".rnnwidget-bar-name")];
    for (const name of names()) expect(name.scrollWidth).toBeLessThanOrEqual(name.clientWidth);
    const wide = names()[0]!.clientWidth;
    await show({ ...framed(named(["a", "b"])), version: 2 });
    expect(names()[0]!.clientWidth).toBe(wide);
  });
});

describe("the headline", () => {
  const flipped = { headline: "P(ADJ)  0.68 → 0.52", overtaken: "now P(VERB) 0.57", edited: true };

  it("says what has overtaken the answer it tells of, and not while the run before is on show", async () => {
    const { find, root } = await mount({ _frame: { ...lstmFrame({ edited: true }), ...answerOf(flipped) } });
    const text = () => find(".rnnwidget-answer-headline").textContent;
    expect(text()).toBe("P(ADJ)  0.68 → 0.52 · now P(VERB) 0.57");
    root.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true }));
    expect(text()).toBe("P(ADJ)  0.68");
  });

  it("stands aside for the reason why there is no answer, and the states stay", async () => {
    const error = "answer= failed: IndexError: index 99 is out of bounds";
    const { find, show } = await mount({ _frame: lstmFrame({}, { answer: null, answer_error: error }) });
    expect(find(".rnnwidget-answer").hidden).toBe(false);
    expect(find(".rnnwidget-answer .rnnwidget-warning").textContent).toBe(error);
    expect(find(".rnnwidget-answer-headline").textContent).toBe("");
    expect(find(HEATMAP).getBoundingClientRect().height).toBeGreaterThan(50);
    await show(lstmFrame({}, { version: 2 }));
    expect(find(".rnnwidget-answer-headline").textContent).toBe("P(negative)  0.93");
    expect(find(".rnnwidget-answer").querySelector(".rnnwidget-warning")).toBe(null);
    await show(lstmFrame({}, { version: 3, answer: null }));
    expect(find(".rnnwidget-answer").hidden).toBe(true);
  });
});

describe("the list of edits", () => {
  it("moves nothing below it up to three edits, and scrolls beyond seven", async () => {
    const edited = (count: number, version: number) =>
      lstmFrame({}, { version, edits: Array.from({ length: count }, (_, at) => `edit ${at}`) });
    const { find, show } = await mount({ _frame: edited(0, 1) }, { width: 600 });
    const below = () => find(".rnnwidget-answer").getBoundingClientRect().top;
    const before = below();
    await show(edited(3, 2));
    expect(below()).toBe(before);
    await show(edited(7, 3));
    const most = below();
    await show(edited(20, 4));
    expect(below()).toBe(most);
  });
});
