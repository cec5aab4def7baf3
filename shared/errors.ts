/** Meaning of a code, and whether the same request may succeed later without a correction. */
interface ErrorEntry {
  readonly text: string;
  readonly retryable: boolean;
}

const permanent = (text: string): ErrorEntry => ({ text, retryable: false });
const retryable = (text: string): ErrorEntry => ({ text, retryable: true });

/**
 * The catalogue of all coded errors. A code is public surface: its meaning never changes. Expected failures (a late
 * tile, a bad message) are values of `Failure`; `TesseraError` is thrown at start-up and for wrong input of a command.
 */
export const ERROR_CODES = {
  TESSERA_USAGE: permanent('The command line is wrong.'),
  TESSERA_CONFIG: permanent('The configuration is wrong.'),
  TESSERA_MODEL_INVALID: permanent('The file is not an ONNX model that can be read.'),
  TESSERA_MODEL_UNSUPPORTED: permanent('The model uses something that Tessera cannot run.'),
  TESSERA_MODEL_UNKNOWN: permanent('No model of that name is served or in the library.'),
  TESSERA_MODEL_CARD: permanent('model.yaml is wrong.'),
  TESSERA_SHAPE: permanent('A dimension of the model is not known.'),
  TESSERA_PLAN_INVALID: permanent('The plan does not fit the model or is not a plan.'),
  TESSERA_PROFILE: permanent('The file is not a profile, or not one of this model.'),
  TESSERA_INPUT_INVALID: permanent('The frame is not a picture or tensor that can be read.'),
  TESSERA_INPUT_TOO_LARGE: permanent('The frame is larger than the limits allow.'),
  TESSERA_MESSAGE_INVALID: permanent('A message does not follow the protocol.'),
  TESSERA_CODEC: permanent('Encoded data is corrupt or of an unknown codec.'),
  TESSERA_BLOB: retryable('A blob of a model is missing or does not match its hash.'),
  TESSERA_NO_NODES: retryable('No node can do the work.'),
  TESSERA_RUN_FAILED: permanent('ONNX Runtime could not run a part of the model.'),
  TESSERA_SOURCE_LOST: retryable('The node where the frame was born left with it.'),
  TESSERA_DEADLINE: retryable('The frame was not done in time.'),
  TESSERA_CENTRAL_RESTARTED: retryable('Central stopped while the frame was under way.'),
  TESSERA_CENTRAL_ACTIVE: retryable('Another central is active at this broker.'),
  TESSERA_BROKER: retryable('The broker cannot be reached or refuses.'),
  TESSERA_NODE_DUPLICATE: permanent('Another node with this id is online.'),
  TESSERA_STORAGE: permanent('A file or folder cannot be made or written, or its disk is full.'),
  TESSERA_DOWNLOAD: retryable('A file could not be downloaded or does not match its hash.'),
  TESSERA_VERIFY: permanent('The distributed run differs from the whole network by more than the limit.'),
  TESSERA_SIGNATURE: permanent('A model is not signed by the key that the node trusts.'),
  TESSERA_INVITATION: permanent('The invitation was used, has expired, or was withdrawn.'),
  TESSERA_INTERNAL: permanent('A fault of Tessera itself.'),
} as const;

/** A stable error code. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Whether the same request may succeed later; false for a code that is not in the catalogue. */
export const isRetryable = (code: string): boolean =>
  Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as ErrorCode].retryable;

/** An expected failure as a value: code, message and, where there is one, a hint. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** A coded error for start-up and commands; `hint` says what the user can do. */
export class TesseraError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TesseraError';
    this.code = code;
    this.hint = options.hint;
  }

  /** The error as a plain value that can be sent. */
  toFailure(): Failure {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }
}

/** Any thrown value as a `Failure`; `fallback` is the code of errors without one. */
export function failureOf(error: unknown, fallback: ErrorCode = 'TESSERA_INTERNAL'): Failure {
  if (error instanceof TesseraError) return error.toFailure();
  return { code: fallback, message: error instanceof Error ? error.message : String(error) };
}

/** The cause of a coded error in its original words; too technical for anything but a debug log. */
export function detailOf(error: unknown): string | undefined {
  const { cause } = error instanceof Error ? error : {};
  return cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : undefined;
}
