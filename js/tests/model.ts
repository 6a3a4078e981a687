import type { AnyModel } from "@anywidget/types";
import type { WireFrame } from "../src/frame";
import type { Traits } from "../src/link";

type Listener = () => void;

const START: Traits = {
  _frame: {},
  before: {},
  _status: { state: "ready", message: "" },
  _drawn: 0,
  _request: {},
  layer: "lstm.l0",
  sequence: 2,
  site: "hidden",
  units: [],
  steps: null,
  scope: { units: "selected", layers: "this" },
  dials: {},
  ripple: "",
  told: "",
  lane: {},
  inherited: {},
  _tracks: {},
  _track: {},
  _history: { position: 0, length: 1 },
  _code: "inspector.edits = []",
};

/** A model as a host gives it: values, change events, and a record of what would go to Python. */
export class FakeModel {
  private readonly values: Traits;
  private readonly listeners = new Map<string, Set<Listener>>();
  /** What JupyterLab's has of the kernel: null where it was shut down. */
  widget_manager: { kernel: object | null } = { kernel: {} };
  /** One entry a `save_changes`: the values it sends. */
  readonly saved: Partial<Traits>[] = [];
  /** Messages of the view's own, which no host holds back. */
  readonly messages: { drawn: number }[] = [];
  private dirty: Partial<Traits> = {};

  constructor(values: Partial<Traits> = {}) {
    this.values = { ...START, ...values };
  }

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.values[name];
  }

  set<K extends keyof Traits>(name: K, value: Traits[K]): void {
    this.dirty[name] = value;
    this.assign(name, value);
  }

  save_changes(): void {
    this.saved.push(this.dirty);
    this.dirty = {};
  }

  send(content: { drawn: number }): void {
    this.messages.push(content);
  }

  /** Whether Python would have been told everything. */
  get settled(): boolean {
    const told = { _drawn: this.messages.at(-1)?.drawn };
    return Object.entries(this.dirty).every(([name, value]) => name in told && value === told._drawn);
  }

  on(event: string, listener: Listener): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(listener));
  }

  off(event: string, listener: Listener): void {
    this.listeners.get(event)?.delete(listener);
  }

  /** As a change that comes from Python. */
  receive(values: Partial<Traits>): void {
    for (const name of Object.keys(values) as (keyof Traits)[]) this.assign(name, values[name]!);
  }

  /** As an event of the host's own. */
  announce(event: string): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener();
  }

  show(frame: WireFrame): void {
    this.receive({ _frame: frame });
  }

  get listening(): number {
    return [...this.listeners.values()].reduce((count, listeners) => count + listeners.size, 0);
  }

  /** Without the page that they name, which is the same in all of them. */
  requests(): Traits["_request"][] {
    return this.saved.flatMap(({ _request }) => {
      if (!_request) return [];
      const { page: _, ...request } = _request as { page: string };
      return [request as Traits["_request"]];
    });
  }

  asAnyModel(): AnyModel<Traits> {
    return this as unknown as AnyModel<Traits>;
  }

  private assign<K extends keyof Traits>(name: K, value: Traits[K]): void {
    if (Object.is(this.values[name], value)) return;
    this.values[name] = value;
    for (const listener of [...(this.listeners.get(`change:${name}`) ?? [])]) listener();
  }
}
