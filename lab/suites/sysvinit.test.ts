/** The package on a host with sysvinit. */
import { proveUnder } from '../other-init.ts';

await proveUnder({ init: 'sysvinit', first: /^init\n$/, service: (action) => `service qward ${action}` });
