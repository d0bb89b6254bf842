import { type Server, status } from '@grpc/grpc-js';
import { addMethod, type MethodKind } from './grpc-method.js';

interface NotServed {
  readonly what: string;
  readonly kind: MethodKind;
  readonly service: string;
  readonly methods: string;
}

const notServed: readonly NotServed[] = [
  {
    what: 'changes of membership: it is the only member',
    kind: 'unary',
    service: 'Cluster',
    methods: 'MemberAdd MemberRemove MemberUpdate MemberPromote',
  },
  {
    what: 'other members to lead, or a database to maintain',
    kind: 'unary',
    service: 'Maintenance',
    methods: 'MoveLeader Defragment Hash HashKV Downgrade',
  },
  {
    what: 'snapshots: all its data is in memory',
    kind: 'replies',
    service: 'Maintenance',
    methods: 'Snapshot',
  },
];

/** Answers calls of etcd that are not served here with a sentence instead of "unknown method". */
export function refuseTheRest(server: Server): void {
  for (const { what, kind, service, methods } of notServed) {
    const refusal = {
      code: status.UNIMPLEMENTED,
      details: `etcd-recipes: the in-process etcd does not have ${what}`,
    };
    const handler =
      kind === 'unary'
        ? (_: unknown, done: (error: object) => void) => done(refusal)
        : (stream: { emit(event: string, error: object): void }) => stream.emit('error', refusal);
    for (const method of methods.split(' ')) {
      addMethod(server, `${service}.${method}`, kind, () => Buffer.alloc(0), handler);
    }
  }
}
