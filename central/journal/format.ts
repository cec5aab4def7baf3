import { crc32 } from 'node:zlib';
import { TASKS, type Task } from '../../shared/protocol/messages/result.ts';
import { isFrameId, isName } from '../../shared/protocol/topics.ts';

/**
 * The journal as text, one event a line. Fields are separated by one space; only the last one may contain spaces. Each line
 * begins with the CRC-32 of its rest in eight hex digits, which tells a torn line from a whole one:
 *
 *   tessera-journal/2                                             the first line, without a CRC
 *   + N CAMERA FRAME MODEL SHA256 TASK ACCEPTED_AT FRAME_TIME     frame N was accepted; times are Unix seconds
 *   = N I_ID                                                      the coordinator opened it under this id
 *   ~ N RESULT                                                    its result (JSON) is about to be published
 *   - N                                                           it has ended: its result is acknowledged, or it was skipped
 *
 * A frame with `+` and without `-` is open. Lines that cannot be read are ignored, and so are the spaces after the last one.
 * The result of an ended frame may be missing. Journals of format 1 have no CRC.
 */
const HEADER = 'tessera-journal/2';

const digits = (text: string): string => crc32(text).toString(16).padStart(8, '0');
const line = (text: string): string => `${digits(text)} ${text}\n`;

/** An accepted frame, with everything that an error result about it says. */
export interface AcceptedFrame {
  readonly camera: string;
  readonly frame: string;
  readonly model: string;
  /** SHA-256 of the model's skeleton. */
  readonly sha: string;
  readonly task: Task;
  /** Unix seconds. */
  readonly acceptedAt: number;
  readonly time: number;
}

/** A frame in the journal. */
export interface JournalEntry extends AcceptedFrame {
  readonly n: number;
  i_id: string | undefined;
  /** Its position in the order in which results were published; undefined without a result. */
  publishOrder: number | undefined;
  /** The published result, byte for byte; undefined without one, and once the frame has ended. */
  result: string | undefined;
  ended: boolean;
}

/** The line of an accepted frame. */
export function acceptedLine(n: number, { camera, frame, model, sha, task, acceptedAt, time }: AcceptedFrame): string {
  return line(`+ ${n} ${camera} ${frame} ${model} ${sha} ${task} ${acceptedAt} ${time}`);
}

/** The line of a frame that was opened. */
export function openedLine(n: number, i_id: string): string {
  return line(`= ${n} ${i_id}`);
}

/** The line of a result that is about to be published. */
export function publishingLine(n: number, result: string | undefined): string {
  return line(result === undefined ? `~ ${n}` : `~ ${n} ${result}`);
}

/** The line of a frame that has ended. */
export function endedLine(n: number): string {
  return line(`- ${n}`);
}

function parseAccepted(fields: readonly string[]): AcceptedFrame | undefined {
  const [camera, frame, model, sha, task, acceptedAt, time] = fields;
  if (fields.length !== 7 || !isName(camera!) || !isFrameId(frame!) || !isName(model!)) return undefined;
  if (!/^[0-9a-f]{64}$/.test(sha!) || !(TASKS as readonly string[]).includes(task!)) return undefined;
  if (!Number.isFinite(Number(acceptedAt)) || !Number.isFinite(Number(time))) return undefined;
  return {
    camera: camera!,
    frame: frame!,
    model: model!,
    sha: sha!,
    task: task as Task,
    acceptedAt: Number(acceptedAt),
    time: Number(time),
  };
}

/** A line without its CRC; undefined where the CRC is wrong. */
function checked(whole: string): string | undefined {
  const said = whole.slice(9);
  return whole[8] === ' ' && whole.slice(0, 8) === digits(said) ? said : undefined;
}

/** The frames of a journal's text, in the order in which they were accepted. */
export function parseJournal(text: string): JournalEntry[] {
  const entries = new Map<number, JournalEntry>();
  let published = 0;
  const isChecked = text.startsWith(`${HEADER}\n`);
  // Text after the last line end is a torn line.
  for (const whole of text.split('\n').slice(0, -1)) {
    const said = isChecked ? checked(whole) : whole;
    if (said === undefined) continue;
    const [mark, number, ...fields] = said.split(' ');
    const n = Number(number);
    if (!Number.isSafeInteger(n) || n < 0 || number === '') continue;
    const entry = entries.get(n);
    if (mark === '+') {
      const frame = parseAccepted(fields);
      if (frame !== undefined)
        entries.set(n, { n, ...frame, i_id: undefined, publishOrder: undefined, result: undefined, ended: false });
    } else if (entry === undefined) continue;
    else if (mark === '=') entry.i_id = fields[0];
    else if (mark === '~') {
      entry.publishOrder = published++;
      entry.result = entry.ended ? undefined : fields.join(' ') || undefined;
    } else if (mark === '-') {
      entry.ended = true;
      entry.result = undefined;
    }
  }
  return [...entries.values()];
}

/** The shortest journal text of these frames. */
export function journalText(entries: readonly JournalEntry[]): string {
  const lines = entries.map((entry) => acceptedLine(entry.n, entry));
  for (const { n, i_id } of entries) if (i_id !== undefined) lines.push(openedLine(n, i_id));
  const published = entries.filter((entry) => entry.publishOrder !== undefined);
  for (const { n, result } of published.sort((a, b) => a.publishOrder! - b.publishOrder!))
    lines.push(publishingLine(n, result));
  for (const { n, ended } of entries) if (ended) lines.push(endedLine(n));
  return `${HEADER}\n${lines.join('')}`;
}
