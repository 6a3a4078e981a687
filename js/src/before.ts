import type { Answer, FilledFrame, Trace } from "./frame";

/** The run without edits, as a frame of its own; a frame without edits is that already. */
export function beforeOf(frame: FilledFrame): FilledFrame {
  const { heatmap, margin, answer, inputs } = frame;
  if (!heatmap.before) return frame;
  return {
    ...frame,
    heatmap: { ...heatmap, data: heatmap.before, low: null, high: null, before: null },
    margin: { ...margin, values: margin.before ?? margin.values, before: null },
    trace: traceBefore(frame.trace, frame.reverse),
    edited: [],
    gradient_message: frame.gradient ? "after the edit only" : frame.gradient_message,
    inputs: inputs && { ...inputs, data: inputs.before ?? inputs.data, before: null },
    answer: answer && answerBefore(answer),
  };
}

function answerBefore(answer: Answer): Answer {
  const { series, strip, headline } = answer;
  const arrow = headline.lastIndexOf(" → ");
  return {
    ...answer,
    after: answer.before,
    edited: false,
    overtaken: "",
    headline: arrow < 0 ? headline : headline.slice(0, arrow),
    series: series ? { ...series, after: series.before } : null,
    strip: strip ? { ...strip, after: strip.before } : null,
  };
}

function traceBefore({ unit, series, previous }: Trace, reverse: boolean): Trace {
  const plain = Object.entries(series).map(([site, { after, before }]) => {
    return [site, { after: before ?? after, before: null }] as const;
  });
  const came = Object.entries(previous).map(([state, values]) => {
    const before = series[state]?.before;
    return [state, before ? shifted(before, values, reverse) : values] as const;
  });
  return { unit, series: Object.fromEntries(plain), previous: Object.fromEntries(came) };
}

/** What each step came from; the initial state is never edited. */
function shifted(states: Float32Array, previous: Float32Array, reverse: boolean): Float32Array {
  const came = new Float32Array(states.length);
  if (states.length === 0) return came;
  if (reverse) came.set(states.subarray(1));
  else came.set(states.subarray(0, -1), 1);
  const first = reverse ? states.length - 1 : 0;
  came[first] = previous[first]!;
  return came;
}

const WRITES = "input, textarea, select, [contenteditable]";

/** Whether a key pressed here is text, or presses what has the focus: then it is not the widget's. */
function takes(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof Element)) return false;
  if (target.matches("button, a, summary")) return key === " ";
  return target.matches(WRITES) && !target.matches("input[type=range]");
}

/** Says while the space bar is held. Releasing it ends that, and so does whatever takes the keyboard away. */
export class HeldSpace {
  private down = false;

  constructor(
    root: HTMLElement,
    private readonly changed: (down: boolean) => void,
    signal: AbortSignal,
  ) {
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.down) {
        event.stopImmediatePropagation();
        this.turn(false);
      }
      if (event.key !== " " || takes(event.target, " ")) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (!event.repeat) this.turn(true);
    });
    root.addEventListener("keyup", (event) => {
      if (event.key === " ") this.turn(false);
    });
    root.addEventListener("focusout", (event) => {
      if (!(event.relatedTarget instanceof Node && root.contains(event.relatedTarget))) this.turn(false);
    });
    const end = () => this.turn(false);
    window.addEventListener("blur", end, { signal });
    document.addEventListener("visibilitychange", end, { signal });
  }

  private turn(down: boolean): void {
    if (down === this.down) return;
    this.down = down;
    this.changed(down);
  }
}

export const isText = (target: EventTarget | null) => takes(target, "");
