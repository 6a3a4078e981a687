import axe from "axe-core";
import { describe, expect, it, onTestFinished } from "vitest";
import { type ColorMap, colorIndex, DIVERGING, DIVERGING_DARK } from "../src/colormap";
import { floats, lstmFrame, WAITING } from "./fixture";
import { mount, pixelAt } from "./mount";

const THEMES = {
  light: {
    "--jp-ui-font-color1": "rgba(0, 0, 0, 0.87)",
    "--jp-ui-font-color2": "rgba(0, 0, 0, 0.54)",
    "--jp-border-color2": "#e0e0e0",
    "--jp-layout-color0": "white",
    "--jp-layout-color2": "#eee",
  },
  dark: {
    "--jp-ui-font-color1": "rgba(255, 255, 255, 0.87)",
    "--jp-ui-font-color2": "rgba(255, 255, 255, 0.54)",
    "--jp-border-color2": "#616161",
    "--jp-layout-color0": "#111",
    "--jp-layout-color2": "#424242",
  },
};

function useTheme(name: keyof typeof THEMES): void {
  const page = document.documentElement.style;
  for (const [variable, value] of Object.entries(THEMES[name])) page.setProperty(variable, value);
  document.body.dataset.jpThemeLight = String(name === "light");
  onTestFinished(() => {
    for (const variable of Object.keys(THEMES[name])) page.removeProperty(variable);
    delete document.body.dataset.jpThemeLight;
  });
}

async function findings(root: HTMLElement): Promise<string[]> {
  const { violations } = await axe.run(root, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impact !== "minor")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 90)).join(" | ")}`);
}

describe.each(["light", "dark"] as const)("axe finds nothing in the %s theme", (theme) => {
  it("waiting", async () => {
    useTheme(theme);
    const { root } = await mount({ _frame: WAITING });
    expect(await findings(root)).toEqual([]);
  });

  it("filled and edited", async () => {
    useTheme(theme);
    const dials = { forget_gate: { kind: "shift" as const, value: 1.5 } };
    const { root } = await mount({ _frame: lstmFrame({ edited: true }), units: [17], steps: [3, 9], dials });
    expect(await findings(root)).toEqual([]);
  });

  it("long, with an error", async () => {
    useTheme(theme);
    const status = { state: "error" as const, message: "RuntimeError: no" };
    const { root } = await mount({ _frame: lstmFrame({ steps: 400 }), _status: status });
    expect(await findings(root)).toEqual([]);
  });
});

describe("the regions of a page", () => {
  const labels = () =>
    [...document.querySelectorAll(".rnnwidget, .rnnwidget section")].map((part) => part.ariaLabel);

  it("have names of their own, with several views of one model and of others, and no banner among them", async () => {
    const first = await mount();
    const { title } = lstmFrame() as { title: string };
    await mount({ _frame: lstmFrame({}, { title: "Reader" }) });
    const second = await mount({}, { model: first.model });
    expect(first.find(".rnnwidget-panel").ariaLabel).toBe(`gate panel of ${title}`);
    expect(second.find(".rnnwidget-panel").ariaLabel).toBe(`gate panel of ${title}, view 2`);
    first.controller.abort();
    await mount();
    await mount({ _frame: WAITING });
    expect(labels().every(Boolean)).toBe(true);
    expect(new Set(labels()).size).toBe(labels().length);
    const { violations } = await axe.run(document.body, { runOnly: ["cat.semantics"] });
    expect(violations.filter(({ id }) => /banner|landmark-unique/.test(id)).map(({ id }) => id)).toEqual([]);
  });
});

describe("names", () => {
  it("every control has one", async () => {
    const { root } = await mount();
    for (const control of root.querySelectorAll<HTMLElement>(
      "button, input, [role=radiogroup], canvas[role=img]",
    ))
      expect(control.getAttribute("aria-label") || control.textContent, control.outerHTML).toBeTruthy();
  });
});

describe("the theme", () => {
  it("repaints the canvases when JupyterLab changes it, values in the page's own colours", async () => {
    useTheme("light");
    const frame = lstmFrame({ units: 3, steps: 4, unit: 0 });
    if (!("heatmap" in frame)) throw new Error("not filled");
    const values = [Number.NaN, Number.POSITIVE_INFINITY, 2, 0.5, -1, 0, 1, -0.5, 0, 0, 0, 0];
    frame.heatmap.data = floats(values);
    const { find } = await mount({ _frame: frame });
    const lines = () => find<HTMLCanvasElement>(".rnnwidget-trace-gates canvas").toDataURL();
    const before = lines();
    const canvas = find<HTMLCanvasElement>(".rnnwidget-heatmap canvas[role=img]");
    const colors = (map: ColorMap, cells: number[]) =>
      cells.map((cell) => [...map.bytes.slice(4 * colorIndex(values[cell]!, [-1, 1])).slice(0, 3)]);
    const pixels = (cells: number[]) =>
      cells.map((cell) => pixelAt(canvas, 3, 4, Math.floor(cell / 4), cell % 4));
    const plain = [3, 4, 5, 6, 7];
    expect(pixels(plain)).toEqual(colors(DIVERGING, plain));
    const corner = () => pixelAt(canvas, 3 * 40, 4 * 40, 1, 41);
    expect(corner()).toEqual([20, 20, 20]);
    expect(pixelAt(canvas, 3 * 18, 4, 0, 2)).toEqual([250, 250, 250]);
    useTheme("dark");
    await expect.poll(lines).not.toBe(before);
    expect(pixels(plain)).toEqual(colors(DIVERGING_DARK, plain));
    expect(corner()).toEqual([250, 250, 250]);
    expect(pixels([2])).toEqual(colors(DIVERGING_DARK, [2]));
    expect(pixelAt(canvas, 3 * 18, 4, 0, 2)).toEqual([20, 20, 20]);
    expect(pixels([0])[0]![0]).toBe(pixels([0])[0]![1]);
  });

  it("begins every selector with the package's class", async () => {
    const sheets = [...document.styleSheets].filter((sheet) =>
      sheet.ownerNode?.textContent?.includes(".rnnwidget"),
    );
    const selectors: string[] = [];
    const collect = (rules: CSSRuleList) => {
      for (const rule of rules) {
        if (rule instanceof CSSStyleRule) selectors.push(...rule.selectorText.split(/,(?![^(]*\))/));
        else if (rule instanceof CSSGroupingRule) collect(rule.cssRules);
      }
    };
    for (const sheet of sheets) collect(sheet.cssRules);
    expect(selectors.length).toBeGreaterThan(50);
    expect(selectors.filter((selector) => !selector.trim().startsWith(".rnnwidget"))).toEqual([]);
  });
});
