import type { Link } from "./link";

const PATIENCE = 300;

/** Says when a request has stayed unanswered for a while, and when it is answered. */
export function watchBusy(link: Link, tell: (busy: boolean) => void, signal: AbortSignal): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const check = () => {
    if (!link.outstanding) {
      clearTimeout(timer);
      timer = undefined;
      tell(false);
    } else if (timer === undefined) timer = setTimeout(() => tell(true), PATIENCE);
  };
  for (const trait of ["_request", "_frame", "_status"] as const) link.listen(trait, check);
  signal.addEventListener("abort", () => clearTimeout(timer));
}
