# Three trees of one shop, each with an application of its own, that switch as one.

locals {
  trees = toset(["invoices", "media", "orders"])
}

source "directory" "old" {
  for_each = local.trees
  path     = "${each.key}/old"
}

target "directory" "new" {
  for_each = local.trees
  path     = "${each.key}/new"
}

route "symlink" "live" {
  for_each = local.trees
  path     = "${each.key}/live"
  source   = "old"
  target   = "new"
}

migration "media" {
  source = source.directory.old["media"]
  target = target.directory.new["media"]
}

migration "invoices" {
  source = source.directory.old["invoices"]
  target = target.directory.new["invoices"]
}

migration "orders" {
  source     = source.directory.old["orders"]
  target     = target.directory.new["orders"]
  depends_on = [migration.invoices, migration.media] # opens after them
}

cutover "shop" {
  migrations = [migration.invoices, migration.media, migration.orders]
  live       = "target"
  timeout    = "30s"
  gate "lag" {
    max = "5s"
  }
  quiesce "command" {
    migrations = [migration.invoices]
    stop       = ["./invoices/app", "pause"]
    start      = ["./invoices/app", "resume"]
    probe      = ["./invoices/app", "try-write"]
  }
  quiesce "command" {
    migrations = [migration.media]
    stop       = ["./media/app", "pause"]
    start      = ["./media/app", "resume"]
    probe      = ["./media/app", "try-write"]
  }
  quiesce "command" {
    migrations = [migration.orders]
    stop       = ["./orders/app", "pause"]
    start      = ["./orders/app", "resume"]
    probe      = ["./orders/app", "try-write"]
  }
  switch {
    routes = [
      route.symlink.live["invoices"],
      route.symlink.live["media"],
      route.symlink.live["orders"],
    ]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
