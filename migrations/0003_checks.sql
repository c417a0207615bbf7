-- What the service's own checks said of a revision when it came: findings, checks, summary and checklist as one JSON value, so that no card
-- and no document computes them again. Beside the contents, because it speaks of them: retention removes both together. Null in rows of
-- older versions.
alter table contents add column checks text;
