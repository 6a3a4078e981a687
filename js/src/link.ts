import type { AnyModel } from "@anywidget/types";
import type { AnswerSteps } from "./answer_lane";
import { uniqueId } from "./dom";
import type { Kind, SentBefore, WireFrame } from "./frame";
import type { InputWish } from "./input_wish";

export interface Scope {
  units: "selected" | "all";
  layers: "this" | "all";
  steps?: "brushed" | "all";
}

export interface Setting {
  kind: Kind;
  value: number;
}

export type Dials = Record<string, Setting>;

/** Every dial of a scope, or those named by `only`. Moves of one gesture are one step to undo. */
export interface Moves {
  serial: number;
  layer: string | null;
  units: number[] | null;
  steps: [number, number] | null;
  dials: Dials;
  only?: string[];
  gesture?: string;
}

export type Request =
  | Moves
  | { serial: number; clear: true }
  /** Takes one edit back, by its place in the list and its line there. */
  | { serial: number; drop: number; line: string }
  | { serial: number; position: number }
  /** Of the sequence that was on show. */
  | { serial: number; inputs: InputWish; sequence?: number };

/** What wider edits already do where a dial acts, and whose it is. */
export interface Inherited {
  value: number;
  of: string;
}

/** The answer at the values of one dial; null where it is not finite. */
export interface Track {
  kind: Kind;
  name: string;
  limits: [number, number] | null;
  values: number[];
  answers: (number | null)[];
  done: boolean;
}

export interface Status {
  state: "waiting" | "ready" | "error" | "closed";
  message: string;
  answers?: number;
}

export interface Traits {
  _frame: WireFrame | Record<string, never>;
  /** The cells of the run before, which a frame names by their version. */
  before: SentBefore | Record<string, never>;
  lane: AnswerSteps | Record<string, never>;
  _status: Status;
  _drawn: number;
  _request: Requests | Record<string, never>;
  layer: string;
  sequence: number;
  site: string;
  units: number[];
  steps: [number, number] | null;
  scope: Scope;
  /** The name in the answer that the person has chosen to be told of; empty while it is Python's choice. */
  told: string;
  /** The state that the open ripple compares; empty while it is closed. */
  ripple: string;
  dials: Dials;
  inherited: Record<string, Partial<Record<Kind, Inherited>>>;
  _tracks: Record<string, Track>;
  /** The dial whose answers are wanted; `idle` where nobody came to it. */
  _track: { site: string; kind: Kind; look: number; idle: boolean } | Record<string, never>;
  _history: { position: number; length: number };
  _code: string;
}

/** A request, and those before it that Python may not have had: a host keeps the newest value of a trait only. */
export type Requests = Sent & { before?: Sent[] };

type Sent = Request & { page?: string };

/** Pages count each for themselves: two of them may use a serial at the same moment. */
const PAGE = uniqueId("page");

type WithoutSerial<T> = T extends { serial: number } ? Omit<T, "serial"> : never;
export type Wish = WithoutSerial<Request>;

/** Whether a wish says all that an earlier one of the same gesture said. */
function supersedes(newer: Wish, older: Wish): boolean {
  if ("dials" in newer && "dials" in older) {
    const about = ({ layer, units, steps, only, gesture }: Omit<Moves, "serial">) =>
      JSON.stringify([layer, units, steps, only, gesture]);
    return about(newer) === about(older);
  }
  const gesture = (wish: Wish) =>
    "inputs" in wish && "gesture" in wish.inputs ? wish.inputs.gesture : undefined;
  return gesture(newer) !== undefined && gesture(newer) === gesture(older);
}

/** The traits, typed, and the requests of one view, paced to one a painted frame. */
export class Link {
  /** What is to be sent with the next animation frame, of one gesture the newest only. */
  private wishes: Wish[] = [];
  private scheduled = 0;
  /** Nobody is there to answer a request. */
  private shut = false;
  /** A version is on the page, and Python has not been told. */
  private owed = false;

  constructor(
    private readonly model: AnyModel<Traits>,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => cancelAnimationFrame(this.scheduled));
  }

  get closed(): boolean {
    return this.shut;
  }

  set closed(closed: boolean) {
    const opened = this.shut && !closed;
    this.shut = closed;
    if (opened) this.tellDrawn();
  }

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.model.get(name);
  }

  set(values: Partial<Traits>): void {
    for (const name of Object.keys(values) as (keyof Traits)[]) this.assign(name, values[name]);
    this.save();
  }

  /** The listener takes no value: hosts disagree on what they pass, `get` is right everywhere. */
  listen(name: keyof Traits, listener: () => void): void {
    const wrapped = () => listener();
    this.model.on(`change:${name}`, wrapped);
    this.signal.addEventListener("abort", () => this.model.off(`change:${name}`, wrapped));
  }

  /** The host says that the line to Python was cut, or is up again: a kernel was restarted. */
  listenToKernel(listener: () => void): void {
    const wrapped = () => listener();
    this.model.on("comm_live_update", wrapped);
    this.signal.addEventListener("abort", () => this.model.off("comm_live_update", wrapped));
  }

  /** Whether the host has no kernel, as JupyterLab after one was shut down; other hosts do not say. */
  get abandoned(): boolean {
    const { kernel } = (this.model.widget_manager ?? {}) as { kernel?: unknown };
    return kernel === null;
  }

  /** Sends a wish at once, and those that follow with each animation frame; all views share serials. */
  request(wish: Wish): void {
    if (this.closed) return;
    const last = this.wishes.at(-1);
    if (last && supersedes(wish, last)) this.wishes.pop();
    const frame = this.get("_frame");
    const about = "inputs" in wish && "sequence" in frame ? { sequence: frame.sequence } : {};
    this.wishes.push({ ...wish, ...about });
    if (this.scheduled === 0) this.flush();
  }

  /** Says which version is on the page: with the next request, or else when the browser has shown it. */
  echo(version: number): void {
    if (this.get("_drawn") >= version) return;
    this.model.set("_drawn", version);
    if (this.owed) return;
    this.owed = true;
    requestAnimationFrame(() => setTimeout(() => this.tellDrawn()));
  }

  /** The serial of the newest request, sent or about to be. */
  get newest(): number {
    return this.sent + this.wishes.length;
  }

  /** The serial up to which Python has answered, with a picture or with an error. */
  get answered(): number {
    const frame = this.get("_frame");
    const shown = "answers" in frame ? frame.answers : 0;
    return Math.max(shown, this.get("_status")?.answers ?? 0);
  }

  get outstanding(): boolean {
    return this.newest > this.answered;
  }

  private get sent(): number {
    const request = this.get("_request");
    return Math.max("serial" in request ? request.serial : 0, this.answered);
  }

  private assign<K extends keyof Traits>(name: K, value: Partial<Traits>[K]): void {
    if (value !== undefined) this.model.set(name, value);
  }

  /** As a message: a host holds traits back until Python is done with the last ones, and a drag would wait for that. */
  private tellDrawn(): void {
    if (!this.owed || this.closed) return;
    this.owed = false;
    this.model.send({ drawn: this.get("_drawn") });
  }

  private save(): void {
    this.owed = false;
    this.model.save_changes();
  }

  private flush(): void {
    this.scheduled = 0;
    if (this.wishes.length === 0) return;
    this.scheduled = requestAnimationFrame(() => this.flush());
    const first = this.sent + 1;
    const fresh = this.wishes.map((wish, place) => ({ ...wish, serial: first + place, page: PAGE }) as Sent);
    this.wishes = [];
    const pending = this.unanswered;
    while (pending.length > 0 && supersedes(fresh[0]!, pending.at(-1)!)) pending.pop();
    const before = [...pending, ...fresh.slice(0, -1)];
    const newest = fresh.at(-1)!;
    this.set({ _request: before.length > 0 ? { ...newest, before } : newest });
  }

  /** What any view has sent and Python has not answered, the oldest first. */
  private get unanswered(): Sent[] {
    const request = this.get("_request");
    if (!("serial" in request)) return [];
    const { before = [], ...newest } = request;
    return [...before, newest as Sent].filter(({ serial }) => serial > this.answered);
  }
}
