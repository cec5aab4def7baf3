import { crc32 } from 'node:zlib';
import { TASKS, type Task } from '../../shared/protocol/messages/result.ts';
import { isFrameId, isName } from '../../shared/protocol/topics.ts';

/**
 * The journal's text. One line an event, fields separated by one space, none of which but the last can hold one. Before
 * each stands the CRC-32 of the rest of the line, in eight hex digits, which tells a torn line from a whole one:
 *
 *   tessera-journal/2                                          the first line, which has none
 *   + N CAMERA FRAME MODEL SHA256 TASK TAKEN FRAME_TIME        frame N was taken in; times are Unix seconds
 *   = N I_ID                                                   it was accepted under this id
 *   ~ N RESULT                                                 its result (JSON) is given to the broker
 *   - N                                                        it has ended: the broker has its result, or it was skipped
 *
 * A frame of which there is a `+` and no `-` is open. What cannot be read is passed over, as the spaces behind the last one. Of a
 * frame that has ended the result may be left out. Journals of format 1 have no checksums.
 */
const HEADER = 'tessera-journal/2';

const digits = (text: string): string => crc32(text).toString(16).padStart(8, '0');
const line = (text: string): string => `${digits(text)} ${text}\n`;

/** What must be known of a frame to end it from nothing but the journal. */
export interface TakenFrame {
  readonly camera: string;
  readonly frame: string;
  readonly model: string;
  /** SHA-256 of the model's skeleton. */
  readonly sha: string;
  readonly task: Task;
  /** Unix seconds. */
  readonly taken: number;
  readonly time: number;
}

/** A frame as the journal remembers it. */
export interface JournalEntry extends TakenFrame {
  readonly n: number;
  i_id: string | undefined;
  /** Its place among the results that were given to the broker; undefined where it was not. */
  left: number | undefined;
  /** What was given to the broker, to the byte; undefined where nothing was, and once the frame has ended. */
  result: string | undefined;
  ended: boolean;
}

/** The line that takes a frame in. */
export function takenLine(n: number, { camera, frame, model, sha, task, taken, time }: TakenFrame): string {
  return line(`+ ${n} ${camera} ${frame} ${model} ${sha} ${task} ${taken} ${time}`);
}

/** The line that says under which id a frame was accepted. */
export function acceptedLine(n: number, i_id: string): string {
  return line(`= ${n} ${i_id}`);
}

/** The line that says that a result is given to the broker. */
export function leavingLine(n: number, result: string | undefined): string {
  return line(result === undefined ? `~ ${n}` : `~ ${n} ${result}`);
}

/** The line that says that a frame has ended. */
export function endedLine(n: number): string {
  return line(`- ${n}`);
}

function parseTaken(fields: readonly string[]): TakenFrame | undefined {
  const [camera, frame, model, sha, task, taken, time] = fields;
  if (fields.length !== 7 || !isName(camera!) || !isFrameId(frame!) || !isName(model!)) return undefined;
  if (!/^[0-9a-f]{64}$/.test(sha!) || !(TASKS as readonly string[]).includes(task!)) return undefined;
  if (!Number.isFinite(Number(taken)) || !Number.isFinite(Number(time))) return undefined;
  return {
    camera: camera!,
    frame: frame!,
    model: model!,
    sha: sha!,
    task: task as Task,
    taken: Number(taken),
    time: Number(time),
  };
}

/** What a line says; undefined where it is not what was written. */
function checked(whole: string): string | undefined {
  const said = whole.slice(9);
  return whole[8] === ' ' && whole.slice(0, 8) === digits(said) ? said : undefined;
}

/** Every frame that a journal's text tells of, in the order in which they were taken in. */
export function parseJournal(text: string): JournalEntry[] {
  const entries = new Map<number, JournalEntry>();
  let left = 0;
  const isChecked = text.startsWith(`${HEADER}\n`);
  // What follows the last line end was not written to its end.
  for (const whole of text.split('\n').slice(0, -1)) {
    const said = isChecked ? checked(whole) : whole;
    if (said === undefined) continue;
    const [mark, number, ...fields] = said.split(' ');
    const n = Number(number);
    if (!Number.isSafeInteger(n) || n < 0 || number === '') continue;
    const entry = entries.get(n);
    if (mark === '+') {
      const frame = parseTaken(fields);
      if (frame !== undefined)
        entries.set(n, { n, ...frame, i_id: undefined, left: undefined, result: undefined, ended: false });
    } else if (entry === undefined) continue;
    else if (mark === '=') entry.i_id = fields[0];
    else if (mark === '~') {
      entry.left = left++;
      entry.result = entry.ended ? undefined : fields.join(' ') || undefined;
    } else if (mark === '-') {
      entry.ended = true;
      entry.result = undefined;
    }
  }
  return [...entries.values()];
}

/** The lines that tell of these frames, shortest form. */
export function linesOf(entries: readonly JournalEntry[]): string {
  const lines = entries.map((entry) => takenLine(entry.n, entry));
  for (const { n, i_id } of entries) if (i_id !== undefined) lines.push(acceptedLine(n, i_id));
  const gone = entries.filter(({ left }) => left !== undefined).sort((a, b) => a.left! - b.left!);
  for (const { n, result } of gone) lines.push(leavingLine(n, result));
  for (const { n, ended } of entries) if (ended) lines.push(endedLine(n));
  return `${HEADER}\n${lines.join('')}`;
}
