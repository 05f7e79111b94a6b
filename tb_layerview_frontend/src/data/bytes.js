/** Reading little-endian bytes: the pieces that all payloads are made of. */

/** Reads a payload from front to back. What is not there is an error, never a zero. */
export class Reader {
  /** @param {ArrayBuffer} buffer */
  constructor(buffer) {
    this.view = new DataView(buffer);
    this.offset = 0;
  }

  /** How many bytes are left. */
  get left() {
    return this.view.byteLength - this.offset;
  }

  /**
   * Moves on by some bytes.
   * @param {number} count
   * @returns {number} the offset before
   */
  take(count) {
    if (count > this.left) {
      throw new Error(
        `The payload ends after ${this.view.byteLength} bytes where ${count} more from ${this.offset} on belong to it.`,
      );
    }
    const at = this.offset;
    this.offset += count;
    return at;
  }

  uint8() {
    return this.view.getUint8(this.take(1));
  }

  uint16() {
    return this.view.getUint16(this.take(2), true);
  }

  int16() {
    return this.view.getInt16(this.take(2), true);
  }

  uint32() {
    return this.view.getUint32(this.take(4), true);
  }

  float64() {
    return this.view.getFloat64(this.take(8), true);
  }

  /** @param {number} count */
  bytes(count) {
    return new Uint8Array(this.view.buffer, this.view.byteOffset + this.take(count), count);
  }

  /** protobuf's varint, up to 2**53: more elements than any tensor has. */
  varint() {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.uint8();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
      if (scale > 2 ** 56) throw new Error("The payload has a number of more than eight bytes.");
    }
  }
}

/**
 * Undoes zlib's compression with the browser's own inflater, and no further than what must come out: a few bytes may say
 * that they are gigabytes.
 * @param {Uint8Array} bytes
 * @param {number} size how many bytes must come out
 * @returns {Promise<ArrayBuffer>}
 */
export async function inflate(bytes, size) {
  const reader = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"))
    .getReader();
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const chunks = [];
  let length = 0;
  while (length <= size) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error("The payload's compressed bytes are damaged.");
    });
    if (done) break;
    chunks.push(value);
    length += value.byteLength;
  }
  if (length !== size) {
    // What ends the inflater has been said here; that it ends is all that is wanted of it.
    if (length > size) void reader.cancel().catch(() => {});
    throw new Error(
      `The payload holds ${length > size ? "more than the" : `${length} bytes of elements, not the`} ${size} bytes that its shape says.`,
    );
  }
  const inflated = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    inflated.set(chunk, at);
    at += chunk.byteLength;
  }
  return inflated.buffer;
}
