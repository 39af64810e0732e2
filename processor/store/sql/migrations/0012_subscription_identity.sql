-- A subscription has an identity of its own: one that was ended and made anew under the same name
-- must not go on from the place of the old one.

-- access: whether its subscriber was let in when it was made: 'set' by us, 'open' where the bus has
-- no authorizer, 'by_hand' where we may not, 'unknown' before this was noted.
-- replayed_through: how far a replay has come.
ALTER TABLE subscriptions
ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
ADD COLUMN access text NOT NULL DEFAULT 'unknown',
ADD COLUMN replayed_through bigint,
ADD CONSTRAINT subscriptions_access CHECK (access IN ('set', 'open', 'by_hand', 'unknown'));
