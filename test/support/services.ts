export { findServices } from '../../scripts/services/find-services.mjs';
export { startMariadb } from '../../scripts/services/mariadb.mjs';
export { startPostgres } from '../../scripts/services/postgres.mjs';
export { startRedis } from '../../scripts/services/redis.mjs';
export type { PrivateServer } from '../../scripts/services/child-server.mjs';
