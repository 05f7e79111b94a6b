/** What is typed to find layers: the patterns of `Select`, and plain words. */

/** @typedef {import("../data/types.js").Kind} Kind */

/**
 * What a filter looks at: a layer, or one tensor name of a layer.
 * @typedef {object} Subject
 * @property {string} path of the layer
 * @property {string} className of the layer
 * @property {string} name of the tensor; empty for the layer itself
 * @property {ReadonlySet<Kind>} kinds of its tensors
 */

/** @typedef {(subject: Subject) => boolean} Filter */

/**
 * Reads a filter. Terms between spaces must all hold; of patterns joined by commas one is enough; a minus before a term
 * leaves out what it matches. A term with `*`, `?` or `[` is a pattern of `Select`: it must match the whole path or the
 * whole class name. One without is found anywhere in the path, the class or the tensor's name, in small or capital letters.
 * `class:` and `kind:` look there alone: `class:conv` finds each class with that in its name, but what is the whole name of a
 * class, in small or capital letters, finds that class alone.
 * @param {string} text
 * @param {Iterable<string>} [classNames] those of all layers
 * @returns {Filter | null} null if nothing is asked for
 */
export function compileFilter(text, classNames = []) {
  const classes = new Set([...classNames].map((name) => name.toLowerCase()));
  const terms = text.split(/\s+/).flatMap((term) => {
    const negated = term.startsWith("-");
    const tests = term
      .slice(negated ? 1 : 0)
      .split(",")
      .filter(Boolean)
      .map((one) => compileTerm(one, classes));
    if (!tests.length) return [];
    const any = (/** @type {Subject} */ subject) => tests.some((test) => test(subject));
    return [negated ? (/** @type {Subject} */ subject) => !any(subject) : any];
  });
  return terms.length ? (subject) => terms.every((term) => term(subject)) : null;
}

/** What makes a term a pattern. */
const WILDCARD = /[*?[]/;

/**
 * @param {string} term
 * @param {ReadonlySet<string>} classes their whole names, in small letters
 * @returns {Filter}
 */
function compileTerm(term, classes) {
  const [, field, pattern] = /^(?:(class|kind):)?(.*)$/s.exec(term) ?? [];
  const word = pattern.toLowerCase();
  if (field === "class") {
    if (WILDCARD.test(pattern)) {
      const matches = globMatcher(pattern, "i");
      return ({ className }) => matches(className);
    }
    if (classes.has(word)) return ({ className }) => className.toLowerCase() === word;
    return ({ className }) => className.toLowerCase().includes(word);
  }
  if (field === "kind") {
    return ({ kinds }) => [...kinds].some((kind) => kind.startsWith(word));
  }
  if (WILDCARD.test(pattern)) {
    const matches = globMatcher(pattern, "");
    return ({ path, className }) => matches(path) || matches(className);
  }
  return ({ path, className, name }) =>
    [path, className, name].some((part) => part.toLowerCase().includes(word));
}

/**
 * Python's `fnmatch`, which `Select` uses: `*` and `?` stand for slashes too, `[!abc]` for all but these.
 * @param {string} glob
 * @param {"" | "i"} flags
 * @returns {(text: string) => boolean} whether the whole text matches
 */
export function globMatcher(glob, flags) {
  let source = "";
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at];
    // A bracket that closes at once is one of the characters; one that nothing closes is itself.
    const close = character === "[" ? glob.indexOf("]", at + (glob[at + 1] === "!" ? 3 : 2)) : -1;
    if (character === "*") source += ".*";
    else if (character === "?") source += ".";
    else if (close > 0) {
      const inside = glob.slice(at + 1, close).replace(/[\\\]^[]/g, "\\$&");
      source += `[${inside.replace(/^!/, "^")}]`;
      at = close;
    } else source += character.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  }
  try {
    const expression = new RegExp(`^${source}$`, `s${flags}`);
    return (text) => expression.test(text);
  } catch {
    // A range that runs backwards, "[z-a]", holds no character: nothing matches.
    return () => false;
  }
}

/**
 * A filter's text with its terms of a class replaced by another one.
 * @param {string} text
 * @param {string} className empty for none
 */
export function withClass(text, className) {
  const others = text.split(/\s+/).filter((term) => term && !term.startsWith("class:"));
  return [...others, ...(className ? [`class:${className}`] : [])].join(" ");
}

/**
 * The class that a filter asks for, if it asks for just one.
 * @param {string} text
 */
export function classOf(text) {
  const terms = text.split(/\s+/).filter((term) => term.startsWith("class:"));
  return terms.length === 1 ? terms[0].slice("class:".length) : "";
}

/**
 * The layer classes that there are, the most frequent first.
 * @param {import("../data/types.js").Layer[]} layers
 * @returns {{name: string, count: number}[]}
 */
export function classesOf(layers) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { class_name: name } of layers) {
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || a.name.localeCompare(b.name));
}
