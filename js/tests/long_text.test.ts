import { describe, expect, it } from "vitest";
import { lstmFrame } from "./fixture";
import { HEATMAP, mount, point } from "./mount";

const STEPS = 60;
const tokens = Array.from({ length: STEPS }, (_, at) => `expression${at}`);
const long = () => mount({ _frame: lstmFrame({ steps: STEPS }, { tokens }) }, { width: 700 });
const left = (line: HTMLElement) =>
  line.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));

describe("a long text", () => {
  it("scrolls to the word at the cursor, wherever that is moved from, and the page stays", async () => {
    const { find } = await long();
    const line = find(".rnnwidget-text");
    const seen = () => {
      const [box, word] = [line, find(".rnnwidget-text .rnnwidget-at-cursor")].map((part) =>
        part.getBoundingClientRect(),
      );
      return word!.top >= box!.top - 1 && word!.bottom <= box!.bottom + 1;
    };
    expect(line.scrollHeight).toBeGreaterThan(line.clientHeight + 60);
    const page = document.scrollingElement!.scrollTop;
    line.focus({ preventScroll: true });
    for (let step = STEPS - 1; step > 0; step--) {
      left(line);
      expect([step, seen()]).toEqual([step, true]);
    }
    for (const across of [0.4, 0.7, 0.99, 0.2]) {
      point(find(HEATMAP), "pointermove", across);
      expect([across, seen()]).toEqual([across, true]);
    }
    expect(document.scrollingElement!.scrollTop).toBe(page);
  });

  it("keeps the word in sight where its lines break anew, and begins at its beginning", async () => {
    const { find, element } = await long();
    const line = find(".rnnwidget-text");
    const drawn = () => find<HTMLCanvasElement>(HEATMAP).width;
    const resized = async (width: number) => {
      const before = drawn();
      element.style.width = `${width}px`;
      await expect.poll(drawn).not.toBe(before);
    };
    await resized(500);
    expect(line.scrollTop).toBe(0);
    for (let by = 0; by < STEPS; by++) left(line);
    for (let by = 0; by < 40; by++)
      line.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    for (const width of [1000, 420]) {
      await resized(width);
      const word = find(".rnnwidget-text .rnnwidget-at-cursor").getBoundingClientRect();
      expect(word.top).toBeGreaterThanOrEqual(line.getBoundingClientRect().top - 1);
      expect(word.bottom).toBeLessThanOrEqual(line.getBoundingClientRect().bottom + 1);
    }
  });

  it("that scrolls under a pointer at rest leaves the cursor where it was moved to", async () => {
    const { find } = await long();
    const line = find(".rnnwidget-text");
    const over = (step: number, clientX: number) =>
      find(`.rnnwidget-text [data-step='${step}']`).dispatchEvent(
        new PointerEvent("pointerover", { bubbles: true, clientX, clientY: 5 }),
      );
    const marked = () => find(".rnnwidget-text .rnnwidget-at-cursor").dataset.step;
    over(40, 7);
    const top = line.scrollTop;
    over(58, 8);
    expect([marked(), line.scrollTop]).toEqual(["58", top]);
    for (let by = 0; by < 30; by++) left(line);
    over(45, 8);
    expect(marked()).toBe("28");
    over(44, 9);
    expect(marked()).toBe("44");
  });
});

describe("the word at the cursor", () => {
  it("covers no letter beside it", async () => {
    const tokens = ["very", "good", ".", "really"];
    const { find } = await mount({ _frame: lstmFrame({ steps: 4 }, { tokens }) });
    for (const step of [1, 2]) {
      const word = find(`.rnnwidget-text [data-step='${step}']`);
      word.click();
      expect(word.classList).toContain("rnnwidget-at-cursor");
      const shadow = getComputedStyle(word).boxShadow;
      const parts = [...shadow.matchAll(/(-?[\d.]+)px (-?[\d.]+)px (-?[\d.]+)px (-?[\d.]+)px/g)];
      expect(parts.length).toBeGreaterThan(0);
      for (const [, x, , blur, spread] of parts) expect([x, blur, spread]).toEqual(["0", "0", "0"]);
    }
  });
});
