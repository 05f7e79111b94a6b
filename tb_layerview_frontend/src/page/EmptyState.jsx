const KERAS = `import tb_layerview

model.fit(x, y, callbacks=[tb_layerview.LayerViewCallback("logs/run1")])`;

const ESTIMATOR = `import tb_layerview

estimator.train(input_fn, hooks=[tb_layerview.LayerViewHook(estimator.model_dir)])`;

/**
 * What to do where nothing is logged yet.
 * @param {{store: import("./store.js").Store}} props
 */
export function EmptyState({ store }) {
  return (
    <div class="lv-empty" data-testid="empty-state">
      <h1>{heading(store)}</h1>
      <p>
        The Layers tab shows what every layer does at every step. Add these lines to your training,
        and let TensorBoard&apos;s <code>--logdir</code> be the folder you log to, or one above it.
      </p>
      <h2>Keras</h2>
      <pre>{KERAS}</pre>
      <h2>Estimator</h2>
      <pre>{ESTIMATOR}</pre>
      <p>
        New runs appear here by themselves, as soon as TensorBoard has found them. TensorBoard may
        list this tab as inactive until its own next reload: the circular arrow at the upper right.
      </p>
      <button type="button" class="lv-button" onClick={() => void store.poll()}>
        Look again
      </button>
    </div>
  );
}

/** @param {import("./store.js").Store} store */
function heading(store) {
  if (store.unreadable.value.length) return "No run can be read";
  return store.withoutSteps.value.length ? "No step is logged" : "No layers are logged yet";
}
