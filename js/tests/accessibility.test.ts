import axe from "axe-core";
import { describe, expect, it, onTestFinished } from "vitest";
import { lstmFrame, WAITING } from "./fixture";
import { mount } from "./mount";

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
  it("repaints the canvases when JupyterLab changes it, and the data keep their colours", async () => {
    useTheme("light");
    const { find } = await mount();
    const picture = (selector: string) => find<HTMLCanvasElement>(selector).toDataURL();
    const lines = picture(".rnnwidget-trace-gates canvas");
    const cells = picture(".rnnwidget-heatmap canvas[role=img]");
    useTheme("dark");
    await expect.poll(() => picture(".rnnwidget-trace-gates canvas")).not.toBe(lines);
    expect(picture(".rnnwidget-heatmap canvas[role=img]")).toBe(cells);
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
