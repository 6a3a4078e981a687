import { setAttribute } from "./dom";
import { formatValue } from "./format";
import type { Track } from "./link";

const SPACE = "http://www.w3.org/2000/svg";
const HIGH = 100;

function part(name: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** What the answers of several tracks span; at least a tenth of the range they can take, so that noise looks flat. */
export function spanOf(tracks: Track[]): [number, number] {
  const known = tracks.flatMap(({ answers }) => answers.filter((answer) => answer !== null));
  const [low, high] = [Math.min(...known), Math.max(...known)];
  if (!(low <= high)) return [0, 1];
  const limits = tracks.find((track) => track.limits)?.limits;
  const least = limits ? (limits[1] - limits[0]) / 10 : 1e-9 + 1e-6 * Math.max(Math.abs(low), Math.abs(high));
  const missing = Math.max(0, least - (high - low)) / 2;
  return [low - missing, high + missing];
}

/** The answer along the track in numbers: its two ends. */
export function trackInNumbers({ answers }: Track): string {
  const known = answers.filter((answer) => answer !== null);
  if (known.length === 0) return "";
  const [low, high] = [Math.min(...known), Math.max(...known)].map((value) => formatValue(value, 2));
  return low === high ? low! : `${low} … ${high}`;
}

/** The answer at every value of a slider, as a ridge above its line. */
export class TrackStrip {
  readonly element = part("svg", {
    class: "rnnwidget-strip",
    viewBox: `0 0 1 ${HIGH}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  private readonly area = part("path", { class: "rnnwidget-strip-area" });
  private readonly line = part("path", { class: "rnnwidget-strip-line" });

  constructor() {
    this.element.append(this.area, this.line);
  }

  show(track: Track | null, [low, high]: [number, number], span: [number, number]): void {
    const points = (track?.values ?? []).map((value, index) => {
      const answer = track!.answers[index] ?? null;
      const share = answer === null ? null : (answer - span[0]) / (span[1] - span[0]);
      return { x: (value - low) / (high - low), y: share === null ? null : HIGH * (1 - share) };
    });
    const stretches = unbroken(points);
    setAttribute(this.line, "d", stretches.map(pathOf).join(""));
    setAttribute(
      this.area,
      "d",
      stretches
        .map((stretch) => `${pathOf(stretch)}L${stretch.at(-1)!.x} ${HIGH}L${stretch[0]!.x} ${HIGH}Z`)
        .join(""),
    );
    setAttribute(this.element, "data-done", String(track?.done ?? false));
    setAttribute(this.element, "data-points", String(points.length));
  }
}

interface Point {
  x: number;
  y: number;
}

/** Stretches without a gap. */
function unbroken(points: { x: number; y: number | null }[]): Point[][] {
  const stretches: Point[][] = [[]];
  for (const { x, y } of points) {
    if (y === null) stretches.push([]);
    else stretches.at(-1)!.push({ x, y });
  }
  return stretches.filter((stretch) => stretch.length > 0);
}

const pathOf = (points: Point[]) =>
  points.map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${x.toFixed(4)} ${y.toFixed(2)}`).join("");
