import { describe, expect, it } from "vitest";
import type { Writing } from "../src/frame";
import { pulseOf } from "../src/pulse";
import { floats, lstmFrame, TOKENS } from "./fixture";
import { mount, nextFrame, point } from "./mount";

const WORDS = Array.from({ length: 60 }, (_, step) => TOKENS[step % TOKENS.length]!);

const writing = (change: Partial<Writing> = {}): Writing => ({
  words: "",
  pulses: null,
  told: [],
  changed_steps: [],
  reads: null,
  ...change,
});

const text = (change: Partial<Writing> = {}) =>
  mount({ _frame: lstmFrame({}, { writing: writing(change) as never }) });

const key = (target: Element, name: string) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));

const wishes = (model: { requests(): unknown[] }) =>
  (model.requests() as { inputs?: { kind: string; words?: string[] } }[]).flatMap(
    ({ inputs }) => inputs ?? [],
  );

describe("the words", () => {
  it("can be retyped: Enter applies what was typed", async () => {
    const { find, model } = await text();
    find('.rnnwidget-text [data-step="3"]').click();
    const input = find<HTMLInputElement>(".rnnwidget-word-editor input");
    expect([input.value, document.activeElement]).toEqual(["bad", input]);
    input.value = "<b>good</b>";
    key(input, "Enter");
    await nextFrame();
    expect(wishes(model)).toEqual([
      { kind: "words", words: WORDS.map((token, step) => (step === 3 ? "<b>good</b>" : token)) },
    ]);
    expect(document.querySelector(".rnnwidget-word-editor")).toBe(null);
  });

  it("stay as they were after Escape, and where nothing was typed", async () => {
    const { find, root, model } = await text();
    for (const name of ["Escape", "Enter"]) {
      find('.rnnwidget-text [data-step="3"]').click();
      if (name === "Escape") find<HTMLInputElement>(".rnnwidget-word-editor input").value = "other";
      key(find(".rnnwidget-word-editor input"), name);
      expect(root.querySelector(".rnnwidget-word-editor")).toBe(null);
      expect(document.activeElement).toBe(find(".rnnwidget-text"));
    }
    await nextFrame();
    expect(wishes(model)).toEqual([]);
    expect(find('.rnnwidget-text [data-step="3"]').hidden).toBe(false);
  });

  it("are as they were after an insertion that was given up", async () => {
    const { find } = await text();
    const line = find(".rnnwidget-text");
    const told = line.textContent;
    find('.rnnwidget-text [data-step="3"]').click();
    find<HTMLButtonElement>('[aria-label="insert a word after it"]').click();
    key(find(".rnnwidget-word-editor input"), "Escape");
    expect(line.textContent).toBe(told);
  });

  it("cannot be retyped once nobody is there to read them", async () => {
    const { find, root, model, element } = await text();
    element.classList.add("jupyter-widgets-disconnected");
    model.announce("comm_live_update");
    const line = find(".rnnwidget-text");
    await expect.poll(() => line.dataset.editable).toBe("false");
    find('.rnnwidget-text [data-step="3"]').click();
    expect(root.querySelector(".rnnwidget-word-editor")).toBe(null);
    expect(find<HTMLButtonElement>(".rnnwidget-ripple-line button").ariaDisabled).toBe("true");
  });

  it("are removed by Delete and inserted by +, from the keyboard alone", async () => {
    const { find, model } = await text();
    const line = find(".rnnwidget-text");
    find('.rnnwidget-text [data-step="2"]').dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    line.focus();
    key(line, "Delete");
    await nextFrame();
    await nextFrame();
    key(line, "+");
    const input = find<HTMLInputElement>(".rnnwidget-word-editor input");
    input.value = "really";
    key(input, "Enter");
    await nextFrame();
    await nextFrame();
    const [removed, inserted] = wishes(model);
    expect(removed!.words).toEqual(WORDS.filter((_, step) => step !== 2));
    expect(inserted!.words).toEqual([...WORDS.slice(0, 3), "really", ...WORDS.slice(3)]);
  });

  it.each([
    ["other words", { tokens: WORDS.toReversed() }],
    ["another sequence of the same words", { sequence: 1 }],
  ])("are not those of %s that came while one was being typed", async (_, change) => {
    const { find, root, model, show } = await text();
    find('.rnnwidget-text [data-step="3"]').click();
    find<HTMLInputElement>(".rnnwidget-word-editor input").value = "half";
    await show(lstmFrame({}, { version: 2, writing: writing() as never, ...change }));
    await nextFrame();
    expect(wishes(model)).toEqual([]);
    expect(root.querySelector(".rnnwidget-word-editor")).toBe(null);
    expect(document.activeElement).toBe(find(".rnnwidget-text"));
  });

  it("stay as they were when the kernel goes while one is being typed", async () => {
    const { find, model, element } = await text();
    find('.rnnwidget-text [data-step="3"]').click();
    find<HTMLInputElement>(".rnnwidget-word-editor input").value = "half";
    element.classList.add("jupyter-widgets-disconnected");
    model.announce("comm_live_update");
    await expect.poll(() => document.activeElement).toBe(find(".rnnwidget-text"));
    await nextFrame();
    expect(wishes(model)).toEqual([]);
  });

  it.each([384, 1000])(
    "leave the buttons in reach while a very long one is typed, in %i pixels",
    async (width) => {
      const { find, root } = await mount(
        { _frame: lstmFrame({}, { writing: writing() as never }) },
        { width },
      );
      find('.rnnwidget-text [data-step="3"]').click();
      const input = find<HTMLInputElement>(".rnnwidget-word-editor input");
      input.value = "w".repeat(300);
      input.dispatchEvent(new Event("input"));
      const line = find(".rnnwidget-text").getBoundingClientRect();
      for (const part of root.querySelectorAll(".rnnwidget-word-editor > *"))
        expect(part.getBoundingClientRect().right).toBeLessThanOrEqual(line.right);
      expect(input.clientWidth).toBeGreaterThan(100);
    },
  );

  it("say why they cannot be retyped", async () => {
    const { find, root } = await text({ words: "give the inspector encode=" });
    find('.rnnwidget-text [data-step="3"]').click();
    expect(root.querySelector(".rnnwidget-word-editor")).toBe(null);
    expect(find(".rnnwidget-text").title).toBe("give the inspector encode=");
  });

  it("say what was changed and what is read, and can be put back", async () => {
    const { find, model } = await text({
      told: ["“bad” → “good”"],
      changed_steps: [3],
      reads: WORDS.map(() => "number 7"),
    });
    expect(find(".rnnwidget-passage-foot").textContent).toContain("“bad” → “good”");
    expect(find(".rnnwidget-passage-foot").textContent).toContain("is read as number 7");
    expect(find('.rnnwidget-text [data-step="3"]').className).toContain("rnnwidget-retyped");
    find(".rnnwidget-passage-foot button").click();
    await nextFrame();
    expect(wishes(model)).toEqual([{ kind: "reset" }]);
  });
});

describe("a pulse", () => {
  const stimulus = (pulses: string, steps: [number, number] | null = [10, 14], moved: object[] = []) =>
    mount({
      steps,
      _frame: lstmFrame(
        {},
        {
          tokens: null,
          inputs: { names: ["go", "stay"], data: floats(Array.from({ length: 120 }, (_, at) => at % 9)) },
          writing: writing({ words: null, pulses, moved: moved as never }) as never,
        },
      ),
    });

  it("follows the pointer sideways, and the brush goes along", async () => {
    const { root, model } = await stimulus("");
    const zone = root.querySelectorAll<HTMLElement>(".rnnwidget-pulse-zone")[1]!;
    zone.setPointerCapture = () => undefined;
    const column = zone.getBoundingClientRect().width / 4;
    point(zone, "pointerdown", 0.5);
    point(zone, "pointermove", 0.5 + (3 * column) / (4 * column));
    point(zone, "pointerup", 0.5);
    await nextFrame();
    await nextFrame();
    const [wish] = wishes(model);
    expect(wish).toMatchObject({ kind: "pulse", channel: 1, start: 10, stop: 14, move: 3, gain: 1 });
    expect(model.get("steps")).toEqual([13, 17]);
  });

  it("stands in a lane whose numbers are apart from each other, from those of the next lane and from its name", async () => {
    const { root } = await stimulus("");
    const boxes = [
      ...root.querySelectorAll(".rnnwidget-stimuli .rnnwidget-axis-label, .rnnwidget-channel"),
    ].map((label) => {
      const texts = document.createRange();
      texts.selectNodeContents(label);
      return { name: label.className === "rnnwidget-channel", box: texts.getBoundingClientRect() };
    });
    const numbers = boxes.filter(({ name }) => !name).map(({ box }) => (box.top + box.bottom) / 2);
    numbers.sort((a, b) => a - b);
    expect(numbers).toHaveLength(4);
    for (let at = 1; at < numbers.length; at++)
      expect(numbers[at]! - numbers[at - 1]!).toBeGreaterThanOrEqual(15);
    for (const one of boxes.filter(({ name }) => name))
      for (const other of boxes.filter(({ name }) => !name))
        expect(other.box.left - one.box.right).toBeGreaterThan(2);
  });

  it("is shaded over the axis and every channel, and no further", async () => {
    const { root, find } = await stimulus("");
    const [top, last] = [
      find(".rnnwidget-brush"),
      [...root.querySelectorAll(".rnnwidget-pulse-zone")].at(-1)!,
    ];
    const shaded = Number.parseFloat(getComputedStyle(top).backgroundSize.split(" ")[1]!);
    const reach = last.getBoundingClientRect().bottom - top.getBoundingClientRect().top;
    expect(shaded).toBeCloseTo(reach, 0);
  });

  it("does by number what the pointer does", async () => {
    const { root, model } = await stimulus("");
    const gain = root.querySelector<HTMLInputElement>('[aria-label="go: scale the brushed steps by"]')!;
    gain.value = "2.5";
    gain.dispatchEvent(new Event("change"));
    await nextFrame();
    expect(wishes(model)[0]).toMatchObject({ channel: 0, move: 0, gain: 2.5 });
    expect(gain.value).toBe("2.5");
  });

  const inForce = async (moved: object[], steps: [number, number]) => {
    const mounted = await stimulus("", steps, moved);
    const field = (name: string) =>
      mounted.root.querySelector<HTMLInputElement>(`[aria-label="${name} the brushed steps by"]`)!;
    const type = async (name: string, value: string) => {
      field(name).value = value;
      field(name).dispatchEvent(new Event("change"));
      await nextFrame();
    };
    return { ...mounted, field, type };
  };
  const HALVED = { channel: 0, start: 10, stop: 14, move: 0, gain: 0.5 };

  it("shows what was done to the brushed steps in all, and another entry takes its place", async () => {
    const { field, type, model } = await inForce([HALVED], [10, 14]);
    expect(["go: scale", "go: move", "stay: scale"].map((name) => field(name).value)).toEqual([
      "0.5",
      "0",
      "1",
    ]);
    await type("go: scale", "0.5");
    expect(wishes(model)).toEqual([]);
    await type("go: scale", "0.25");
    expect(wishes(model)).toMatchObject([{ channel: 0, start: 10, stop: 14, gain: 0.25, again: true }]);
    expect(field("go: scale").value).toBe("0.25");
  });

  it("shows it where the pulse stands now, and nothing where other steps are brushed", async () => {
    const moved = { ...HALVED, move: 6 };
    const { field, type, model } = await inForce([moved], [16, 20]);
    expect([field("go: move").value, field("go: scale").value]).toEqual(["6", "0.5"]);
    await type("go: move", "2");
    expect(wishes(model)).toMatchObject([{ start: 10, stop: 14, move: 2, gain: 0.5, again: true }]);
    expect(model.get("steps")).toEqual([12, 16]);
    const other = await inForce([moved], [10, 14]);
    expect([other.field("go: move").value, other.field("go: scale").value]).toEqual(["0", "1"]);
    await other.type("go: scale", "2");
    expect(wishes(other.model)[0]).not.toHaveProperty("again");
  });

  it("goes back to what is in force where a change was refused", async () => {
    const { field, type, model } = await inForce([HALVED], [10, 14]);
    await type("go: move", "900");
    expect(field("go: move").value).toBe("900");
    model.receive({ _status: { state: "error", message: "wholly beyond", answers: 1 } });
    expect([field("go: move").value, field("go: scale").value]).toEqual(["0", "0.5"]);
  });

  it("has its numbers whole, inside the view", async () => {
    for (const width of [560, 1000]) {
      const { field, root } = await inForce([{ ...HALVED, move: -18, gain: -1.25 }], [0, 1]);
      root.parentElement!.style.width = `${width}px`;
      await nextFrame();
      for (const name of ["go: scale", "go: move"]) {
        const input = field(name);
        input.value = name.endsWith("scale") ? "-1.25" : "-18";
        expect(input.scrollWidth).toBeLessThanOrEqual(input.clientWidth);
        expect(input.getBoundingClientRect().right).toBeLessThanOrEqual(root.getBoundingClientRect().right);
      }
    }
  });

  it("is dragged from the factor that is in force", () => {
    expect(pulseOf("scale", 0, -36, 10, { move: 4, gain: 0.5 })).toEqual([4, 1.5]);
    expect(pulseOf("scale", 0, 90, 10, { move: 4, gain: 0.5 })).toEqual([4, 0]);
    expect(pulseOf("move", -21, 0, 10, { move: 4, gain: 0.5 })).toEqual([2, 0.5]);
  });

  it("is there only inside a brush, and where the model reads it", async () => {
    for (const [pulses, steps] of [
      ["the layer reads something else", [10, 14]],
      ["", null],
    ] as const) {
      const { root, find } = await stimulus(pulses, steps ? [...steps] : null);
      for (const zone of root.querySelectorAll<HTMLElement>(".rnnwidget-pulse-zone"))
        expect(zone.hidden).toBe(true);
      expect(find(".rnnwidget-stimulus-foot").textContent).toContain(pulses || "brush steps");
    }
  });

  it("moves in whole steps and never below nothing", () => {
    expect(pulseOf("move", 25, -80, 10)).toEqual([3, 1]);
    expect(pulseOf("scale", 25, -36, 10)).toEqual([0, 2]);
    expect(pulseOf("scale", 0, 400, 10)).toEqual([0, 0]);
  });
});
