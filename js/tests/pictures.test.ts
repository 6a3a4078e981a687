import { describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";
import { floats, lstmFrame } from "./fixture";
import { HEATMAP, mount } from "./mount";

describe("the header", () => {
  it("chooses layer, site and sequence", async () => {
    const { find, model } = await mount();
    find("[role=radiogroup][aria-label=layer] [role=radio]:nth-child(2)").click();
    expect(model.saved.at(-1)).toMatchObject({ layer: "lstm.l0_reverse" });
    find('.rnnwidget-legend button[value="forget_gate"]').click();
    expect(model.saved.at(-1)).toEqual({ site: "forget_gate" });
    find("[aria-label='next sequence']").click();
    expect(model.saved.at(-1)).toEqual({ sequence: 3 });
    const input = find<HTMLInputElement>("input[aria-label=sequence]");
    await userEvent.fill(input, "12");
    await userEvent.keyboard("{Enter}");
    expect(model.saved.at(-1)).toEqual({ sequence: 11 });
    await userEvent.fill(input, "99");
    await userEvent.keyboard("{Enter}");
    expect([model.get("sequence"), input.value]).toEqual([11, "3"]);
  });

  it("goes back to the sequence on show at once where there is none of that number, and on Escape", async () => {
    const { find, model, show } = await mount();
    await show(lstmFrame({}, { version: 2, sequences: 2, sequence: 1 }));
    const input = find<HTMLInputElement>("input[aria-label=sequence]");
    input.focus();
    input.select();
    await userEvent.keyboard("99{Enter}");
    expect([input.value, document.activeElement]).toEqual(["2", input]);
    input.select();
    await userEvent.keyboard("1{Escape}");
    expect(input.value).toBe("2");
    input.blur();
    expect(model.get("sequence")).toBe(2);
    expect(model.saved.some((values) => "sequence" in values)).toBe(false);
  });

  it("is a radiogroup with one tab stop that arrows move through", async () => {
    const { find, root, model } = await mount();
    const radios = [...root.querySelectorAll<HTMLElement>("[aria-label=layer] [role=radio]")];
    expect(radios.map((radio) => radio.tabIndex)).toEqual([0, -1, -1, -1]);
    expect(radios.map((radio) => radio.getAttribute("aria-checked"))).toEqual([
      "true",
      "false",
      "false",
      "false",
    ]);
    find("[aria-label=layer] [aria-checked=true]").focus();
    await userEvent.keyboard("{ArrowRight}");
    expect(model.get("layer")).toBe("lstm.l0_reverse");
    expect(document.activeElement).toBe(radios[1]);
  });

  it("says so where a layer was called more than once", async () => {
    const { find, show } = await mount();
    expect(find(".rnnwidget-calls").checkVisibility()).toBe(false);
    await show(lstmFrame({}, { version: 2, calls: 30 }));
    expect(find(".rnnwidget-calls").textContent).toBe("last of 30 calls");
    expect(find(".rnnwidget-calls").checkVisibility()).toBe(true);
  });

  it("says so where the model is in training mode and that makes a difference", async () => {
    const { find, show } = await mount();
    const told = find(".rnnwidget-training");
    expect(told.checkVisibility()).toBe(false);
    await show(lstmFrame({}, { version: 2, training: "training mode: dropout is active" }));
    expect([told.textContent, told.checkVisibility()]).toEqual(["training mode: dropout is active", true]);
    expect(told.title).toContain("model.eval()");
    await show(lstmFrame({}, { version: 3, training: "" }));
    expect(told.checkVisibility()).toBe(false);
  });

  it("says in a sentence that there is no residual", async () => {
    const { find } = await mount({
      _frame: lstmFrame({}, { residual: { text: "a state is not finite", ok: false } }),
    });
    expect(find(".rnnwidget-residual").textContent).toBe("one-step residual: a state is not finite ⚠");
    expect(find(".rnnwidget-residual").title).toContain("cannot be compared");
  });

  it("shows a residual that is not small as a warning", async () => {
    const { find, show } = await mount();
    expect(find(".rnnwidget-residual").textContent).toBe("one-step residual 9e−08 ✓");
    await show(lstmFrame({}, { version: 2, residual: { text: "0.3", ok: false } }));
    expect(find(".rnnwidget-residual").textContent).toContain("⚠");
  });
});

describe("frames", () => {
  it("are echoed once painted", async () => {
    const { model, show } = await mount();
    await show(lstmFrame({}, { version: 7 }));
    await expect.poll(() => model.messages.at(-1)).toEqual({ drawn: 7 });
  });

  it("keep the picture when an error comes, and lose the message with the next success", async () => {
    const { find, model, root } = await mount();
    const before = find<HTMLCanvasElement>(HEATMAP).toDataURL();
    model.receive({ _status: { state: "error", message: "RuntimeError: <b>boom</b>" } });
    expect(find(".rnnwidget-status").textContent).toBe("RuntimeError: <b>boom</b>");
    expect(find(".rnnwidget-status").children.length).toBe(0);
    expect(find<HTMLCanvasElement>(HEATMAP).toDataURL()).toBe(before);
    model.receive({ _status: { state: "ready", message: "" } });
    expect([find(".rnnwidget-status").textContent, root.dataset.state]).toEqual(["", "ready"]);
  });

  it("that cannot be read leave the picture and say why", async () => {
    const { find, model } = await mount();
    const before = find<HTMLCanvasElement>(HEATMAP).toDataURL();
    const margin = { label: "", values: floats([1]), before: null, limits: [0, 1] as [number, number] };
    model.show(lstmFrame({}, { version: 2, margin }));
    expect(find(".rnnwidget-status").textContent).toContain("margin: 1 values where 64 belong");
    expect(find<HTMLCanvasElement>(HEATMAP).toDataURL()).toBe(before);
  });

  it("show tokens as text, never as HTML", async () => {
    const tokens = ["<img src=x onerror=alert(1)>", "<b>b</b>", "&amp;"];
    const { find, root } = await mount({ _frame: lstmFrame({ steps: 3 }, { tokens }) });
    expect(root.querySelector("img, .rnnwidget-text b, .rnnwidget-tokens b")).toBe(null);
    expect(find(".rnnwidget-text").textContent).toBe(tokens.join(" "));
  });

  it("show a message where there is no gradient, and stimuli where there are no tokens", async () => {
    const inputs = {
      names: ["motion", "colour"],
      data: floats(Array.from({ length: 120 }, (_, at) => Math.sin(at))),
    };
    const change = {
      tokens: null,
      inputs,
      gradient: null,
      gradient_message: "pass targets= and loss= to see it",
    };
    const { find } = await mount({ _frame: lstmFrame({}, change) });
    expect(find(".rnnwidget-gradient-message").textContent).toBe("pass targets= and loss= to see it");
    const names = [...find(".rnnwidget-stimuli").querySelectorAll(".rnnwidget-channel")];
    expect(names.map(({ textContent }) => textContent)).toEqual(["motion", "colour"]);
    expect([find(".rnnwidget-tokens").hidden, find(".rnnwidget-text").hidden]).toEqual([true, true]);
  });

  it("show each stimulus on a scale with numbers, its value at the cursor, and what it was before", async () => {
    const ramp = Array.from({ length: 60 }, (_, at) => at / 59);
    const inputs = { names: ["input"], data: floats(ramp) };
    const change = { tokens: null, inputs };
    const view = await mount({ _frame: lstmFrame({}, change) });
    const lane = view.find(".rnnwidget-stimuli");
    const numbers = () =>
      [...lane.querySelectorAll(".rnnwidget-axis-label")].map(({ textContent }) => textContent);
    expect(numbers()).toEqual(["1", "0"]);
    expect(view.find(".rnnwidget-channel-value").textContent).toBe("1");
    const picture = view.find<HTMLCanvasElement>(".rnnwidget-stimuli canvas").toDataURL();
    const before = floats(ramp.map((value) => 3 * value));
    view.model.show(lstmFrame({}, { ...change, version: 2, inputs: { ...inputs, before } }));
    await expect.poll(numbers).toEqual(["3", "0"]);
    expect(view.find(".rnnwidget-channel-value").textContent).toBe("3 → 1");
    expect(view.find<HTMLCanvasElement>(".rnnwidget-stimuli canvas").toDataURL()).not.toBe(picture);
  });

  it("show no ghost while nothing is edited", async () => {
    const { find, root } = await mount();
    expect(root.querySelector(".rnnwidget-bar-before")).toBe(null);
    expect(find(".rnnwidget-picked").textContent).toBe("negative0.93");
  });

  it("show the answer before and after", async () => {
    const { find } = await mount({ _frame: lstmFrame({ edited: true }) });
    expect(find(".rnnwidget-answer-headline").textContent).toBe("P(positive)  0.07 → 0.61");
    expect(find(".rnnwidget-picked").textContent).toBe("positive0.07 → 0.61");
    const track = find(".rnnwidget-picked .rnnwidget-bar-track").getBoundingClientRect();
    const width = (name: string) =>
      find(`.rnnwidget-picked .rnnwidget-bar-${name}`).getBoundingClientRect().width;
    expect(width("before") / track.width).toBeCloseTo(0.07, 2);
    expect(width("after") / track.width).toBeCloseTo(0.61, 2);
  });
});
