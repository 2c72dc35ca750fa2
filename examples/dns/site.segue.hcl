# Moves a directory whose clients find it by name. The name server takes signed updates.

variable "server" {
  type    = string
  default = "127.0.0.1:5354"
}

variable "live" {
  type    = string
  default = "target"
}

source "directory" "old" {
  path = "old"
}

target "directory" "new" {
  path = "new"
}

route "dns" "www" {
  server     = var.server
  zone       = "site.test."
  name       = "www"
  ttl        = "1s" # minutes in earnest; lower it before the switch, not with it
  source     = "127.0.0.11"
  target     = "127.0.0.12"
  key_name   = "site"
  key_secret = env("SITE_KEY")
}

migration "site" {
  source = source.directory.old
  target = target.directory.new
}

cutover "site" {
  migrations = [migration.site]
  live       = var.live
  timeout    = "30s"
  quiesce "command" {
    stop  = ["./site", "pause"]
    start = ["./site", "resume"]
    probe = ["./site", "write", "probe"] # must fail while quiesced
  }
  switch {
    routes = [route.dns.www]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
