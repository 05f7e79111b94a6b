/** Statistics of all tensors of one kind at all steps, growing as a run goes on. */

/** @typedef {import("./types.js").Kind} Kind */
/** @typedef {import("./types.js").Tensor} Tensor */

export class Columns {
  /**
   * @param {Kind} kind
   * @param {Tensor[]} tensors all of the run's
   */
  constructor(kind, tensors) {
    this.kind = kind;
    /** Indices of the tensors of this kind, in the run's order. */
    this.tensors = tensors.flatMap((tensor, index) => (tensor.kind === kind ? [index] : []));
    /** @type {Map<number, number>} */
    this.positions = new Map(this.tensors.map((index, position) => [index, position]));
    /** How many steps are here. */
    this.steps = 0;
    /** @type {Map<string, Float32Array[]>} by statistic; longer than `steps`, to grow into */
    this.stored = new Map();
    /** @type {Map<string, Float32Array[]>} views of the first `steps` values */
    this.views = new Map();
  }

  /** Names of the statistics that are here. */
  get statistics() {
    return [...this.stored.keys()];
  }

  /** @param {string} statistic */
  has(statistic) {
    return this.stored.has(statistic);
  }

  /**
   * Takes a statistic that is new here, from the first step on.
   * @param {string} statistic
   * @param {Float32Array[]} columns one a tensor
   */
  add(statistic, columns) {
    if (!this.stored.size) this.steps = columns[0]?.length ?? 0;
    if (columns.some((column) => column.length < this.steps)) {
      throw new Error(
        `The server sent ${columns[0].length} steps of '${statistic}' where ${this.steps} are known.`,
      );
    }
    this.stored.set(statistic, columns);
    this.#view();
  }

  /**
   * Appends later steps of all statistics that are here.
   * @param {Map<string, Float32Array[]>} later by statistic, one a tensor
   */
  append(later) {
    const [first] = later.values();
    const added = first?.[0]?.length ?? 0;
    for (const [statistic, stored] of this.stored) {
      const columns = later.get(statistic);
      if (!columns) throw new Error(`Later steps of '${statistic}' are missing.`);
      stored.forEach((column, position) => {
        if (column.length < this.steps + added) {
          // Doubling: a run that goes on for days must not copy its whole past at each step.
          const longer = new Float32Array(Math.max(2 * column.length, this.steps + added));
          longer.set(column.subarray(0, this.steps));
          stored[position] = longer;
        }
        stored[position].set(columns[position], this.steps);
      });
    }
    this.steps += added;
    this.#view();
  }

  /**
   * The values of some tensors, each by step.
   * @param {string} statistic one that is here
   * @param {number[]} tensors indices; those of other kinds are passed over
   * @returns {Float32Array[]}
   */
  of(statistic, tensors) {
    const views = this.views.get(statistic) ?? [];
    return tensors.flatMap((index) => {
      const position = this.positions.get(index);
      return position === undefined ? [] : [views[position]];
    });
  }

  #view() {
    for (const [statistic, stored] of this.stored) {
      this.views.set(
        statistic,
        stored.map((column) => column.subarray(0, this.steps)),
      );
    }
  }
}
