import type { AnyModel, RenderProps } from "@anywidget/types";
import { Link, type Traits } from "./link";
import { type RippleTraits, RippleWidget } from "./ripple_widget";
import { Score } from "./score";
import "./score.css";

type Props = Pick<RenderProps<Traits>, "model" | "el"> & { signal?: AbortSignal };

/** One bundle has every widget: the model says which one it is. */
function viewOf(model: AnyModel<Traits>, signal: AbortSignal): Score | RippleWidget {
  const ripple = model as unknown as AnyModel<RippleTraits>;
  return ripple.get("_view") === "ripple"
    ? new RippleWidget(ripple, signal)
    : new Score(new Link(model, signal), signal);
}

export default {
  render({ model, el, signal }: Props): () => void {
    const controller = new AbortController();
    const score = viewOf(model, controller.signal);
    controller.signal.addEventListener("abort", () => score.root.remove());
    const stop = () => controller.abort();
    signal?.addEventListener("abort", stop, { signal: controller.signal });
    el.append(score.root);
    score.start();
    return stop;
  },
};
