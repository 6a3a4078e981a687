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
  const probes = ROLES.map((role) =>
    make("span", { style: `color: var(--rw-${role}); forced-color-adjust: none` }),
  );
  const holder = make("span", { hidden: "" }, ...probes);
  root.append(holder);
  const [ink, muted, faint, background, accent] = probes.map((probe) => getComputedStyle(probe).color);
  holder.remove();
  const dark = isDark(background!);
  return { ink: ink!, muted: muted!, faint: faint!, background: background!, accent: accent!, dark };
}

const dark = new Map<string, boolean>();

/** Whether a colour, in whatever way CSS writes it, is dark; what is transparent lies on a light page. */
export function isDark(color: string): boolean {
  const known = dark.get(color);
  if (known !== undefined) return known;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  if (!context) return false;
  for (const fill of ["#fff", color]) {
    context.fillStyle = fill;
    context.fillRect(0, 0, 1, 1);
  }
  const [red = 255, green = 255, blue = 255] = context.getImageData(0, 0, 1, 1).data;
  const found = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 128;
  dark.set(color, found);
  return found;
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
