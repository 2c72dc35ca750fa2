# Six sites in waves of two: a wave begins when the one before is through.

segue {
  parallelism = 3          # units that are loaded, carried and verified at once
  cutovers    = 2          # cutovers whose writes are paused at once
  rate_limit  = "100MiB/s" # for all of them together, shared fairly
}

variable "live" {
  description = "The side that shall serve: target, or source to go back"
  type        = string
  default     = "target"
}

locals {
  waves = {
    first  = toset(["blog", "wiki"])
    second = toset(["docs", "news"])
    third  = toset(["mail", "shop"])
  }
  sites = toset(["blog", "docs", "mail", "news", "shop", "wiki"])
}

source "directory" "old" {
  for_each = local.sites
  path     = "sites/${each.key}/old"
}

target "directory" "new" {
  for_each = local.sites
  path     = "sites/${each.key}/new"
}

route "symlink" "live" {
  for_each = local.sites
  path     = "sites/${each.key}/live"
  source   = "old"
  target   = "new"
}

migration "site" {
  for_each = local.sites
  source   = source.directory.old[each.key]
  target   = target.directory.new[each.key]
}

cutover "first" {
  for_each   = local.waves.first
  migrations = [migration.site[each.key]]
  live       = var.live
  quiesce "command" {
    stop  = ["./site", "pause", each.key]
    start = ["./site", "resume", each.key]
    probe = ["./site", "try-write", each.key]
  }
  switch {
    routes = [route.symlink.live[each.key]]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}

cutover "second" {
  for_each   = local.waves.second
  migrations = [migration.site[each.key]]
  live       = var.live
  depends_on = values(cutover.first)
  quiesce "command" {
    stop  = ["./site", "pause", each.key]
    start = ["./site", "resume", each.key]
    probe = ["./site", "try-write", each.key]
  }
  switch {
    routes = [route.symlink.live[each.key]]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}

cutover "third" {
  for_each   = local.waves.third
  migrations = [migration.site[each.key]]
  live       = var.live
  depends_on = values(cutover.second)
  quiesce "command" {
    stop  = ["./site", "pause", each.key]
    start = ["./site", "resume", each.key]
    probe = ["./site", "try-write", each.key]
  }
  switch {
    routes = [route.symlink.live[each.key]]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
