import { join } from 'node:path';
import { packageFolder } from '../shared/runtime/version.ts';

/** The file of models that `tessera model add NAME` gets. */
export function catalogueFile(): string {
  return join(packageFolder(), 'config', 'models.yaml');
}
