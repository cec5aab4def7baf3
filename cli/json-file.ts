import { type ErrorCode, TesseraError } from '../shared/errors.ts';
import { readText } from '../shared/runtime/file.ts';

/** The content of a JSON file that the user named. Throws a TesseraError with this code and hint. */
export async function readJsonFile(file: string, code: ErrorCode, hint: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(file));
  } catch (cause) {
    throw new TesseraError(code, `${file} is not a JSON file that can be read`, { cause, hint });
  }
}
