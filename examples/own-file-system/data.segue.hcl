# The tree lies on a file system of its own, which is made read-only as a whole for the switch: writers need
# not be stopped, their writes are refused. Needs root.

source "directory" "old" {
  path = "/mnt/old"
}

target "directory" "new" {
  path = "/mnt/new"
}

route "command" "mount" {
  set_source = ["mount", "--bind", "/mnt/old", "/srv/data"]
  set_target = ["mount", "--bind", "/mnt/new", "/srv/data"]
  observe = ["sh", "-c", <<-EOT
    case $(findmnt --noheadings --first-only --output SOURCE /srv/data) in
      $(findmnt --noheadings --output SOURCE /mnt/old)) echo source ;;
      $(findmnt --noheadings --output SOURCE /mnt/new)) echo target ;;
    esac
  EOT
  ]
}

migration "data" {
  source = source.directory.old
  target = target.directory.new
}

cutover "data" {
  migrations = [migration.data]
  live       = "target"
  timeout    = "1m"
  gate "lag" {
    max = "10s"
  }
  quiesce "remount" {}
  switch {
    routes = [route.command.mount]
  }
  fallback {
    reverse       = true
    stale_writers = "report" # a read-only file system would stop Segue's reverse sync too
  }
}
