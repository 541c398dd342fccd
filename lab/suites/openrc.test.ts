/** The package on a host with OpenRC, with the start script that is OpenRC's own. */
import { proveUnder } from '../other-init.ts';

await proveUnder({
  init: 'openrc',
  first: /^init\n.*openrc\n.*rc-service\n$/,
  service: (action) => `rc-service qward ${action}`,
  // As on other systems: on Debian the package brings sysvinit's script, which OpenRC runs too.
  ownScript: `rc-service qward stop
cp /usr/share/doc/qward/examples/openrc/qward /etc/init.d/qward
rc-update add qward default
rc-service qward start`,
});
