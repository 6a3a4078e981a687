import { make } from "./dom";

/** The colours that canvases need, resolved from the CSS variables of the page's theme. */
export interface Theme {
  ink: string;
  muted: string;
  faint: string;
  background: string;
  accent: string;
}

const ROLES = ["ink", "muted", "faint", "background", "accent"] as const;

export function readTheme(root: HTMLElement): Theme {
  const probe = make("span", { hidden: "" });
  root.append(probe);
  const resolve = (role: string) => {
    probe.style.color = `var(--rw-${role})`;
    return getComputedStyle(probe).color;
  };
  const [ink, muted, faint, background, accent] = ROLES.map(resolve);
  probe.remove();
  return { ink: ink!, muted: muted!, faint: faint!, background: background!, accent: accent! };
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
