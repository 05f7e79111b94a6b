/**
 * A cache that forgets what was not used for longest.
 * @template V
 */
export class LruCache {
  /** @param {number} most the sum of the sizes that is kept */
  constructor(most) {
    this.most = most;
    this.total = 0;
    /** @type {Map<string, {value: V, size: number}>} */
    this.entries = new Map();
  }

  /** @param {string} key */
  has(key) {
    return this.entries.has(key);
  }

  /**
   * @param {string} key
   * @returns {V | undefined}
   */
  get(key) {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  /**
   * @param {string} key
   * @param {V} value
   * @param {number} size
   */
  set(key, value, size) {
    this.delete(key);
    this.entries.set(key, { value, size });
    this.total += size;
    for (const oldest of this.entries.keys()) {
      if (this.total <= this.most || this.entries.size === 1) break;
      this.delete(oldest);
    }
  }

  /** @param {string} key */
  delete(key) {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.total -= entry.size;
  }
}
