import { type ColorMap, colorMap, DIVERGING, type Lab, polar } from "./colormap";

const DEEP: Lab = [0.23, 0, 0];
const BRIGHT_BLUE = polar(0.8, 0.105, 240);
const BRIGHT_ORANGE = polar(0.8, 0.125, 62);

/** On a dark page no change is dark: light stands for the change, not for its absence. */
export function divergingDarkLab(share: number): Lab {
  const size = Math.abs(share * 2 - 1);
  const end = share < 0.5 ? BRIGHT_BLUE : BRIGHT_ORANGE;
  return [
    DEEP[0] + (end[0] - DEEP[0]) * size,
    DEEP[1] + (end[1] - DEEP[1]) * size,
    DEEP[2] + (end[2] - DEEP[2]) * size,
  ];
}

const DARK: ColorMap = colorMap(divergingDarkLab);

export function rippleColors(dark: boolean): ColorMap {
  return dark ? DARK : DIVERGING;
}

/** Whether a page's background, as the browser computes it, is dark. */
export function isDark(background: string): boolean {
  const [red = 255, green = 255, blue = 255] = (background.match(/[\d.]+/g) ?? []).map(Number);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 128;
}
