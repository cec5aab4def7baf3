import { JpegStream } from './jpeg-stream.ts';
import type { Source } from './source.ts';

/** A camera that writes JPEGs one after another, as ffmpeg and rpicam-vid do. It ends with the stream. */
export function streamSource(stream: AsyncIterable<Uint8Array> & { destroy?(): void }): Source {
  const splitter = new JpegStream();
  const chunks = stream[Symbol.asyncIterator]();
  const waiting: Uint8Array[] = [];
  let count = 0;
  return {
    flows: true,
    async next() {
      while (waiting.length === 0) {
        const chunk = await chunks.next();
        if (chunk.done === true) return undefined;
        waiting.push(...splitter.push(chunk.value));
      }
      return { id: `stream-${count++}`, bytes: waiting.shift()! };
    },
    async stop() {
      stream.destroy?.();
    },
  };
}
