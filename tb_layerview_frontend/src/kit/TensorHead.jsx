import { KINDS } from "../data/selection.js";
import { sourceOf } from "../data/source.js";

/** @typedef {import("./core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */

/** What happens where a tensor could not be read. */
export const ASKED_AGAIN =
  "It is asked for again when TensorBoard answers, or when you choose another step or layer.";

/**
 * What a tensor is, and the way to those of its layer and of the layers beside it.
 * @param {{core: Core, run: Run, index: number, className: string, children: import("preact").ComponentChildren}} props the
 *   layer's class, and further facts
 */
export function TensorHead({ core, run, index, className, children }) {
  const tensor = run.info.tensors[index];
  const layer = run.info.layers[tensor.layer];
  const source = sourceOf(run.info, index);
  const slash = layer.path.lastIndexOf("/") + 1;
  return (
    <>
      <div class="lv-title">
        <h2 title={layer.path}>
          <span class="lv-title-path">{layer.path.slice(0, slash)}</span>
          {layer.path.slice(slash)}
        </h2>
        <p class="lv-title-facts">
          {className && <span>{className}</span>}
          <span>
            {tensor.kind} {tensor.name}
            {tensor.call > 0 && `, call ${tensor.call}`}
          </span>
          {children}
          {source && (
            <span class="lv-source" title={source.title} data-testid="source">
              {source.text}
            </span>
          )}
        </p>
      </div>
      <div class="lv-links">
        <TensorChips core={core} run={run} layer={tensor.layer} selected={index} />
        <Neighbours core={core} run={run} layer={tensor.layer} />
      </div>
    </>
  );
}

/**
 * The tensors of the layer, by kind.
 * @param {{core: Core, run: Run, layer: number, selected: number}} props
 */
function TensorChips({ core, run, layer, selected }) {
  const { tensors } = run.info;
  const ofLayer = tensors.flatMap((tensor, index) => (tensor.layer === layer ? [index] : []));
  return (
    <div class="lv-chips" role="group" aria-label="Tensors of this layer">
      {KINDS.map(({ kind, singular }) => {
        const own = ofLayer.filter((index) => tensors[index].kind === kind);
        if (!own.length) return null;
        return (
          <span key={kind} class="lv-chip-group">
            <span class="lv-caption">{singular}</span>
            {own.map((index) => (
              <button
                key={index}
                type="button"
                class="lv-chip"
                data-testid={`tensor-${kind}-${tensors[index].name}`}
                aria-pressed={index === selected}
                onClick={() => core.selectTensor(index)}
              >
                {tensors[index].name}
                {tensors[index].call > 0 && ` ${tensors[index].call}`}
              </button>
            ))}
          </span>
        );
      })}
    </div>
  );
}

const MOST_NEIGHBOURS = 3;

/**
 * Links to the layers before and after.
 * @param {{core: Core, run: Run, layer: number}} props
 */
function Neighbours({ core, run, layer }) {
  const { layers, tensors } = run.info;
  const kind = tensors[core.tensor.value]?.kind;
  /** @param {number} other @returns {number} a tensor of the layer to go to, -1 if it has none */
  const target = (other) => {
    const same = tensors.findIndex((tensor) => tensor.layer === other && tensor.kind === kind);
    return same >= 0 ? same : tensors.findIndex((tensor) => tensor.layer === other);
  };
  /** @param {number} other */
  const link = (other) => {
    const { path } = layers[other];
    const at = target(other);
    const label = path.slice(path.lastIndexOf("/") + 1);
    if (at < 0)
      return (
        <span key={other} title={`${path} logs nothing`}>
          {label}
        </span>
      );
    return (
      <button
        key={other}
        type="button"
        class="lv-link"
        title={path}
        onClick={() => core.selectTensor(at)}
      >
        {label}
      </button>
    );
  };
  /** @param {number[]} others */
  const list = (others) => (
    <>
      {others.slice(0, MOST_NEIGHBOURS).map(link)}
      {others.length > MOST_NEIGHBOURS && (
        <span
          title={others
            .slice(MOST_NEIGHBOURS)
            .map((other) => layers[other].path)
            .join("\n")}
        >
          +{others.length - MOST_NEIGHBOURS}
        </span>
      )}
    </>
  );
  const from = layers[layer].inputs;
  const to = run.outputs[layer];
  if (!from.length && !to.length) return null;
  return (
    <nav class="lv-neighbours" aria-label="Neighbouring layers">
      {from.length > 0 && (
        <span>
          <span class="lv-caption">from</span> {list(from)}
        </span>
      )}
      {to.length > 0 && (
        <span>
          <span class="lv-caption">to</span> {list(to)}
        </span>
      )}
    </nav>
  );
}
