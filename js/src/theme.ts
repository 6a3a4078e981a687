import { make } from "./dom";

/** The colours that canvases need, resolved from the CSS variables of the page's theme. */
export interface Theme {
  ink: string;
  muted: string;
  faint: string;
  background: string;
  accent: string;
  /** Whether the background is. */
  dark: boolean;
}

const ROLES = ["ink", "muted", "faint", "background", "accent"] as const;

export function readTheme(root: HTMLElement): Theme {
  // All at once, so that styles are computed once.
  const probes = ROLES.map((role) => make("span", { style: `color: var(--rw-${role})` }));
  const holder = make("span", { hidden: "" }, ...probes);
  root.append(holder);
  const [ink, muted, faint, background, accent] = probes.map((probe) => getComputedStyle(probe).color);
  holder.remove();
  const dark = isDark(background!);
  return { ink: ink!, muted: muted!, faint: faint!, background: background!, accent: accent!, dark };
}

/** Whether a colour, as the browser computes it, is dark. */
export function isDark(color: string): boolean {
  const [red = 255, green = 255, blue = 255] = (color.match(/[\d.]+/g) ?? []).map(Number);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 128;
}

/** JupyterLab says on the body whether its theme is light; native controls follow `color-scheme`. */
function follow(root: HTMLElement): void {
  const light = document.body.dataset.jpThemeLight;
  if (light === undefined) delete root.dataset.theme;
  else root.dataset.theme = light === "false" ? "dark" : "light";
}

export function watchTheme(root: HTMLElement, changed: () => void, signal: AbortSignal): void {
  follow(root);
  const react = () => {
    follow(root);
    changed();
  };
  const observer = new MutationObserver(react);
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  signal.addEventListener("abort", () => observer.disconnect());
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
    matchMedia(query).addEventListener("change", react, { signal });
}
