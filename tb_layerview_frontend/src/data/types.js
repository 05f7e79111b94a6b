/** What the routes of `docs/http_api.md` answer with. */

/** @typedef {"activation" | "weight" | "gradient" | "update" | "optimizer"} Kind */
/** A place in somebody's code; `is_class`: where the layer's class is defined. @typedef {{file: string, line: number, is_class: boolean}} Source */
/**
 * `sources` are by call, none where they are not known; `direct` and `in_place`: whether what it takes, and what it puts
 * out, is known to be made place by place of its inputs' outputs.
 * @typedef {{path: string, class_name: string, inputs: number[], sources?: Source[], window?: Window | null,
 *   direct?: boolean, in_place?: boolean}} Layer
 */

/**
 * What of its input a layer reads for one place of its output, an entry for each axis of space; docs/http_api.md has the
 * formulas. Both paddings are empty where they are not known.
 * @typedef {{size: number[], strides: number[], dilation: number[], padding_before: number[], padding_after: number[],
 *   transposed: boolean, padding_mode: "" | "reflect" | "replicate" | "circular"}} Window
 */

/** Of the probe's first examples, in C order; numbers that are not finite are words. @typedef {{name: string, dtype: string, shape: number[], values: (number | "NaN" | "Infinity" | "-Infinity")[]}} Target */

/**
 * @typedef {object} Tensor
 * @property {number} layer index into the run's layers
 * @property {number} call
 * @property {Kind} kind
 * @property {string} name
 * @property {number[]} shape -1 where a size differs from step to step
 * @property {string} dtype
 * @property {string[]} axes
 */

/** @typedef {{run: string, steps: number, last_step: number, tensors: number, wall_time: number, notes: number}} RunSummary */

/** A run that nothing can be read of, and why, in sentences. @typedef {{run: string, problems: string[]}} UnreadableRun */

/** A run without steps, and why, in sentences. @typedef {{run: string, notes: string[]}} RunWithoutSteps */

/**
 * @typedef {object} Cost
 * @property {number} set_up_seconds
 * @property {number} logging_seconds
 * @property {number} training_seconds
 * @property {number} bytes
 * @property {number} skipped
 * @property {number} own_seconds that the training would have taken alone
 * @property {number | null} share logging's seconds over these; null where the training took none
 */

/**
 * @typedef {object} RunInfo
 * @property {string} run
 * @property {Layer[]} layers
 * @property {Tensor[]} tensors
 * @property {{hash: string, examples: number, training: boolean, source: string, targets?: Target[]} | null} probe
 * @property {string[]} notes
 * @property {string} schedule
 * @property {string} software
 * @property {string | null} folder
 * @property {string} hidden
 * @property {Cost | null} cost
 */

/**
 * @typedef {object} History
 * @property {string} generation
 * @property {number[]} steps ascending
 * @property {number[]} wall_times
 * @property {string[]} modes
 * @property {Record<string, Float64Array>} scalars NaN and infinities as such; see `absent` for what a step lacks
 * @property {Record<string, Uint8Array>} absent 1 where a step lacks the scalar
 * @property {string[]} notes as the run's, and as new as the steps
 * @property {Cost | null} cost
 */

/**
 * Statistics of one tensor at one step. Counts are of elements.
 * @typedef {object} TensorRecord
 * @property {number} step
 * @property {number} size
 * @property {number} nan
 * @property {number} pos_inf
 * @property {number} neg_inf
 * @property {number} zero
 * @property {number} negative
 * @property {number} min
 * @property {number} max
 * @property {number} mean
 * @property {number} std
 * @property {number} rms
 * @property {Record<string, number> | null} quantiles
 * @property {boolean} histogram
 * @property {boolean} units
 * @property {boolean} values
 * @property {number | null} values_step
 */

/**
 * Bytes over steps, and what their headers say: to which history they belong, and how many pieces could not be read.
 * @typedef {{buffer: ArrayBuffer, generation: string, unreadable: number, steps: number}} Columnar `steps` is how many the
 *   run had
 */

/**
 * A rule of health.
 * @typedef {object} Rule
 * @property {string} name
 * @property {"error" | "warning"} severity
 * @property {"picture" | "distribution" | "units"} panel which shows what it finds
 * @property {Record<string, number>} thresholds those that it was asked with
 * @property {Record<string, number>} defaults the usual ones
 * @property {Record<string, string>} labels what is held against each of them, and how
 * @property {string} advice what it usually means, and what people usually do
 */

/**
 * What a rule found.
 * @typedef {object} Finding
 * @property {string} rule
 * @property {"error" | "warning"} severity
 * @property {number | null} tensor index; null where none can be named
 * @property {number} first step at which it held first
 * @property {number | null} before the last logged step before
 * @property {number} last step at which it held
 * @property {Record<string, number>} measured the numbers behind it
 * @property {string} since in words
 * @property {string} headline what is wrong since when, in at most twelve words
 * @property {string} words what is wrong, a sentence without its full stop
 * @property {number | null} follows index of the finding that explains it
 * @property {number | null} led_to of a warning that errors follow from: index of the first of these
 * @property {{run: string, step: number} | null} [replay] where the batch that broke it was run again
 */

/** @typedef {{generation: string, steps: number, rules: Rule[], findings: Finding[]}} Findings */

/**
 * How what a rule judges went at one tensor, by step.
 * @typedef {object} Course
 * @property {number[]} steps ascending
 * @property {string} measure what is judged
 * @property {number[]} values it; NaN where there is none
 * @property {Record<string, number[]>} compared what it is held against, in its unit; `threshold` is where the rule holds
 * @property {boolean[]} held whether the rule holds
 */

/** The error, else the warning, that a rank's findings begin with. @typedef {{rule: string, severity: "error" | "warning", words: string, since: string, first: number}} WorstFinding */

/**
 * One of the processes that train a model together.
 * @typedef {object} Rank
 * @property {number} rank
 * @property {string} run that it logs
 * @property {number} steps
 * @property {number | null} last_step
 * @property {number} findings how many there are
 * @property {WorstFinding | null} worst
 */

/**
 * Statistics of all ranks at a step.
 * @typedef {object} RankStatistics
 * @property {number[]} ranks
 * @property {(number | null)[]} steps by rank, the logged one that is given
 * @property {number[]} tensors indices of the tensors of the run that was asked for
 * @property {Record<string, number[][]>} statistics by rank, a number a tensor; NaN for none
 */

export {};
